"""Machines that the stand-in for CUDA's runtime pretends to be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import NamedTuple

import cuda_emulation as emulation

#: Versions of the driver and of the runtime that the kernels were compiled with, if none is said.
NEW = 13_000


class Device(NamedTuple):
    """``has_code``: whether kernels were compiled for it. They were for none before 8.0."""

    major: int = 8
    minor: int = 0
    processors: int = 2
    has_code: bool = True


@contextmanager
def machine(*devices: Device, driver: int = NEW, runtime: int = NEW) -> Iterator[ModuleType]:
    """The emulated kernels on such a machine, none of whose devices is in use."""
    engine = emulation.engine()
    engine.set_machine(driver, runtime, devices)
    try:
        yield engine
    finally:
        engine.set_machine(NEW, NEW, [Device()])
