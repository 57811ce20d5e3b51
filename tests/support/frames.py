"""Which Python runs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

#: (frame, event, what), as ``sys.setprofile`` wants it.
Profile = Callable[[Any, str, Any], None]


@contextlib.contextmanager
def profiled(profile: Profile) -> Iterator[None]:
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(before)


@contextlib.contextmanager
def modules_that_run() -> Iterator[list[str]]:
    """Of each Python function that is entered inside."""
    modules: list[str] = []

    def profile(frame: Any, event: str, _: Any) -> None:
        if event == "call":
            modules.append(frame.f_globals["__name__"])

    with profiled(profile):
        yield modules
