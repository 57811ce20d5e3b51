"""How uint8 targets are read, and a warning where that is hardly what was meant."""

from __future__ import annotations

import sys
import warnings

import torch
from torch import Tensor

from vaekern._backends.fast import first_bytes
from vaekern._backends.launch import is_plain
from vaekern._torch import transforms_active

#: 0 .. 255 as 0 .. 1, as -1 .. 1, or 0 and 1 as they are.
UINT8_RANGES = ("unit", "signed", "binary")

#: For targets that are probabilities.
WITHIN_UNIT = ("unit", "binary")


def known_uint8_range(uint8_range: str, allowed: tuple[str, ...] = UINT8_RANGES) -> str:
    if uint8_range not in allowed:
        raise ValueError(f"uint8_range: expected one of {allowed}, got {uint8_range!r}")
    return uint8_range


def check_uint8_range(uint8_range: str, x: Tensor, allowed: tuple[str, ...] = UINT8_RANGES) -> None:
    """What a caller may choose; booleans are 0 and 1."""
    known_uint8_range(uint8_range, allowed)
    if uint8_range == "signed" and x.dtype is torch.bool:
        raise TypeError(
            f"x: bool is 0 and 1; for uint8_range={uint8_range!r} expected uint8 or floating point"
        )
    if first_bytes.unclear and uint8_range == "unit" and x.dtype is torch.uint8:
        _look_at(x)


def _look_at(x: Tensor) -> None:
    """Warns where the first bytes that say anything are 0 and 1 alone. Once in a process, on a CPU,
    in eager code: nothing waits for a device, and later calls pay for nothing."""
    if not x.is_cpu or torch.compiler.is_compiling() or transforms_active() or not is_plain((x,)):
        return
    largest = int(x.max()) if x.numel() else 0
    if largest == 0:
        return
    first_bytes.unclear = False
    if largest == 1:
        warnings.warn(
            "x: a uint8 batch of nothing but 0 and 1, which is read as 0 and 1/255. Are these "
            "binary data? Then pass uint8_range='binary', or x.bool(). (This is looked at once.)",
            UserWarning,
            stacklevel=_levels_to_the_caller(),
        )


def _levels_to_the_caller() -> int:
    """Of this package, as seen from the function that asks."""
    level, frame = 0, sys._getframe(1)
    package = __name__.partition(".")[0]
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == package:
        level, frame = level + 1, frame.f_back
    return level + 1
