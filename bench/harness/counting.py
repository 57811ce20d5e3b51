"""What a call takes of the interpreter, counted: no other load on the machine changes that."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Counts:
    """Python functions entered, and functions of C that Python called."""

    frames: int
    c_calls: int

    def __str__(self) -> str:
        return f"{self.frames} + {self.c_calls}"

    def columns(self) -> dict[str, str]:
        return {"frames": str(self.frames), "c_calls": str(self.c_calls)}


def counted(call: Callable[[], object]) -> Counts:
    """Of a call that has run before, less its own frame."""
    seen = {"call": 0, "c_call": 0}

    def profile(_frame: Any, event: str, _what: Any) -> None:
        if event in seen:
            seen[event] += 1

    call()
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(before)
    return Counts(seen["call"] - 1, seen["c_call"] - 1)  # less setprofile
