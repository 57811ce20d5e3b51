"""Which implementation runs: the best for the tensors' device, unless one is asked for."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from vaekern import _cpu, _cuda, _native
from vaekern._launch import Run

BACKENDS = ("reference", "cpu", "cuda", "triton")

#: GPU backends that run on CPU tensors here, emulated: the test suite's.
emulated: dict[str, Run] = {}

_DEVICE_OF = {"cpu": "cpu", "cuda": "cuda", "triton": "cuda"}
_HAS_TRITON = importlib.util.find_spec("triton") is not None

_forced: str | None = None


def unavailable(name: str) -> str | None:
    """Why a backend cannot be used, None if it can."""
    if name == "reference" or name in emulated:
        return None
    if name == "cpu":
        return _native.why_missing or None
    if name == "cuda" and _native.cuda is None:
        return _native.why_missing or "this build has no CUDA kernels: reinstall where nvcc is"
    if name == "triton" and not _HAS_TRITON:
        return "triton is not installed (pip install triton)"
    return None if torch.cuda.is_available() else "torch finds no GPU"


def _best_for_gpu() -> str:
    if _native.cuda is not None:
        return "cuda"
    return "triton" if _HAS_TRITON else "reference"


_BEST = {"cuda": _best_for_gpu()}
if _native.core is not None:
    _BEST |= {"cpu": "cpu", "meta": "cpu"}


@contextlib.contextmanager
def backend(name: str) -> Iterator[None]:
    """Runs every operation inside on one backend: ``"reference"`` (plain torch, any device),
    ``"cpu"``, ``"cuda"`` or ``"triton"``. The default is the best for the tensors' device.

    Process-wide, like ``torch.backends`` flags. Backwards run where their forward did.

    Raises:
        ValueError: the name is unknown.
        RuntimeError: the backend is not available; the message says why.
    """
    global _forced
    if name not in BACKENDS:
        raise ValueError(f"backend: expected one of {BACKENDS}, got {name!r}")
    why = unavailable(name)
    if why is not None:
        raise RuntimeError(f"backend {name!r} is not available: {why}")
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before


def backend_for(device_type: str) -> str:
    """The backend that runs operations on tensors of a device."""
    if _forced is None:
        return _BEST.get(device_type, "reference")
    wanted = _DEVICE_OF.get(_forced, device_type)
    if device_type not in (wanted, "meta") and not (device_type == "cpu" and _forced in emulated):
        raise RuntimeError(
            f"backend {_forced!r} was asked for, but the tensors are on {device_type!r}"
        )
    return _forced


def runner(name: str) -> Run:
    """A backend's entry."""
    if name == "cpu":
        return _cpu.run
    if name in emulated:
        return emulated[name]
    if name == "cuda":
        return _cuda.run
    from vaekern import triton

    return triton.run


def empty_for(name: str) -> Callable[[Tensor, torch.dtype], Tensor]:
    """How a backend gets memory for a result: contiguous, of a tensor's shape and device."""
    return _cpu.new_contiguous if name == "cpu" else empty_contiguous


def empty_contiguous(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty_like(tensor, dtype=dtype, memory_format=torch.contiguous_format)
