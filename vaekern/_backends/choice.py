"""Which implementation runs: the best for the tensors' device, unless one is asked for."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from importlib import metadata

import torch

from vaekern._backends import cpu, cuda, fast, native
from vaekern._backends.launch import Backend

BACKENDS = ("reference", "cpu", "cuda", "triton")

#: GPU backends that run on CPU tensors here, emulated: the test suite's.
emulated: dict[str, Backend] = {}

_DEVICE_OF = {"cpu": "cpu", "cuda": "cuda", "triton": "cuda"}
_LEAST_TRITON = (3, 4)  # tuples of arguments
_TRITONS = ("triton", "pytorch-triton", "pytorch-triton-rocm", "triton-rocm", "triton-windows")

_forced: str | None = None


def unavailable(name: str) -> str | None:
    """Why a backend cannot be used, None if it can."""
    if name == "reference" or name in emulated:
        return None
    if name == "cpu":
        return native.why_missing or None
    if name == "cuda" and native.cuda is None:
        return native.why_missing or "this build has no CUDA kernels: reinstall where nvcc is"
    if name == "triton" and why_no_triton() is not None:
        return why_no_triton()
    return None if torch.cuda.is_available() else "torch finds no GPU"


def triton_version() -> str | None:
    """The installed one, by any of the names it is distributed under; without importing it."""
    for name in _TRITONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return None


@functools.cache
def why_no_triton() -> str | None:
    """Why Triton kernels cannot be compiled here, None if they can."""
    least = ".".join(map(str, _LEAST_TRITON))
    version = triton_version()
    if version is None:
        return f"triton is not installed (pip install 'triton>={least}')"
    if tuple(int(part) for part in version.split(".")[:2]) < _LEAST_TRITON:
        return f"triton {version} is too old: {least} or later, as torch 2.8 and later bring it"
    return None


def _best_for_gpu() -> str:
    if native.cuda is not None and torch.version.cuda is not None:  # no AMD GPU
        return "cuda"
    return "triton" if why_no_triton() is None else "reference"


_BEST = {"cuda": _best_for_gpu()}
if native.core is not None:
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
        with fast.allowed(name == "cpu"):
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


def backend_named(name: str) -> Backend:
    if name == "cpu":
        return cpu.BACKEND
    if name in emulated:
        return emulated[name]
    if name == "cuda":
        return cuda.BACKEND
    from vaekern._backends import triton

    return triton.BACKEND
