"""What takes long to make, made once for all processes of ``pytest -n``."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def folder(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], None]) -> Path:
    """A folder of this run that ``fill`` has filled: the first process that asks does so, the
    others wait for it. Where it fails, each of them tries, and says what is wrong."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # that of the run; the process has its own inside
    found, done = base / name, base / f"{name}.done"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            found.mkdir(exist_ok=True)
            fill(found)
            done.touch()
    return found
