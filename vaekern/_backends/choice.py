"""Which implementation runs: the best for the tensors' device, unless one is asked for."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from importlib import metadata

import torch

from vaekern._backends import cpu, cuda, fast, native
from vaekern._backends.launch import Backend
from vaekern._torch import constant_when_compiled

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
    if not torch.cuda.is_available():
        return "torch finds no GPU"
    return _why_on_no_gpu() if name == "cuda" else None


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


# --- GPUs -----------------------------------------------------------------------------------------

#: Why the CUDA kernels cannot run on a device, empty if they can: of devices in use.
_faults: dict[int, str] = {}


def _has_cuda_kernels() -> bool:
    return native.cuda is not None and torch.version.cuda is not None  # no AMD GPU


def _fault(index: int) -> str:
    """Why the CUDA kernels cannot run on a device, as far as is known without using it."""
    if index in _faults or native.core is None:
        return _faults.get(index, "")
    why: str = native.core.why_unusable_cuda(index, False)
    return why


@constant_when_compiled  # asks the driver, which nobody can trace
def _fault_in_use(index: int) -> str:
    """Why the CUDA kernels cannot run on a device that has tensors: found by loading one."""
    if index not in _faults:
        assert native.core is not None
        _faults[index] = native.core.why_unusable_cuda(index, True)
        if not _faults[index]:
            native.core.use_gpu(index)
    return _faults[index]


def _why_on_no_gpu() -> str | None:
    """Why the CUDA kernels run on none of the GPUs, None if they do on one."""
    faults = {index: _fault(index) for index in range(torch.cuda.device_count())}
    if not all(faults.values()):
        return None
    return "; ".join(sorted({f"{gpu_name(index)}: {why}" for index, why in faults.items()}))


def gpu_name(index: int) -> str:
    return torch.cuda.get_device_name(index)


def _without_cuda() -> str:
    return "triton" if why_no_triton() is None else "reference"


@constant_when_compiled
def _for_gpu(index: int) -> str:
    """What runs on a GPU's tensors. Imagined ones, without a GPU in use, are for the best."""
    if not _has_cuda_kernels():
        return _without_cuda()
    if not torch.cuda.is_initialized() or not _fault_in_use(index):
        return "cuda"
    _warn_once(
        f"vaekern's CUDA kernels cannot run on {gpu_name(index)}: {_faults[index]}. "
        f"The backend {_without_cuda()!r} runs there instead."
    )
    return _without_cuda()


@functools.cache
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)


def best_on_gpu(index: int) -> tuple[str, str]:
    """What runs on a GPU's tensors, or would; and why its CUDA kernels do not."""
    if not _has_cuda_kernels():
        return _without_cuda(), unavailable("cuda") or ""
    why = _fault(index)
    return (_without_cuda() if why else "cuda"), why


# --- the choice -----------------------------------------------------------------------------------

_BEST = {"cpu": "cpu", "meta": "cpu"} if native.core is not None else {}


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
        with fast.only_for(name, emulated[name].runners if name in emulated else None):
            yield
    finally:
        _forced = before


def backend_for(device: torch.device) -> str:
    """The backend that runs operations on tensors of a device."""
    kind = device.type
    if _forced is None:
        return _for_gpu(device.index or 0) if kind == "cuda" else _BEST.get(kind, "reference")
    wanted = _DEVICE_OF.get(_forced, kind)
    if kind not in (wanted, "meta") and not (kind == "cpu" and _forced in emulated):
        raise RuntimeError(f"backend {_forced!r} was asked for, but the tensors are on {kind!r}")
    if _forced == kind == "cuda" and torch.cuda.is_initialized():
        why = _fault_in_use(device.index or 0)
        if why:
            raise RuntimeError(f"backend 'cuda' was asked for, but cannot run on {device}: {why}")
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
