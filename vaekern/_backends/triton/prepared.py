"""Launches prepared once per layout.

All that a launch needs besides its tensors follows from their layout: dtypes, shapes, strides,
whether 16 divides their addresses (Triton compiles that in), the device. So what was found for a
layout is remembered: the plan, the arguments that are no tensors, and the kernel that Triton
compiled for them, which is then launched without being looked up again. No tensor is remembered.
"""

# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import triton.language as tl
from torch import Tensor
from triton import JITFunction, knobs
from triton.compiler import CompiledKernel

from vaekern._backends.triton.loops import visit

#: Whether Triton's interpreter runs the kernels, on the CPU.
INTERPRETED = not isinstance(visit, JITFunction)

Prepared = TypeVar("Prepared")

#: By layout. Only a program with ever new shapes meets the limit.
_remembered: dict[Any, Any] = {}
_MOST = 4096


def remembered(layout: Any, prepare: Callable[..., Prepared], *args: Any) -> Prepared:
    """What ``prepare(*args)`` makes, which ``layout`` determines."""
    found: Prepared | None = _remembered.get(layout)
    if found is None:
        if len(_remembered) >= _MOST:
            forget()
        found = _remembered[layout] = prepare(*args)
    return found


def forget() -> None:
    _remembered.clear()


def layout_of(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tensor.shape, tensor.stride(), tensor.data_ptr() % 16 == 0


def current(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Triton launches on the current device, which is not always that of the tensors."""
    if device.type == "cpu" and not INTERPRETED:
        raise RuntimeError(
            "backend 'triton' runs on a GPU; on CPU tensors only in Triton's interpreter, "
            "with TRITON_INTERPRET=1 set before its first use"
        )
    if device.type == "cpu" or device.index == torch.cuda.current_device():
        return _UNCHANGED
    return torch.cuda.device(device)


_UNCHANGED = contextlib.nullcontext()


def index_type(wide: bool) -> Any:
    return tl.int64 if wide else tl.int32


def options(in_double: bool) -> dict[str, Any]:
    """Multiplications and additions are fused only where the mathematics says so."""
    return {"num_warps": 8 if in_double else 4, "enable_fp_fusion": False}


class Launch:
    """Launches of a Triton function that differ in the addresses of tensors alone, and in numbers
    that nothing is compiled for.

    Called with those, which ``fixed`` and ``constants``, in the order of the function's parameters,
    follow. The first launch is Triton's, which finds or compiles a kernel. Further ones go to that
    kernel, without being bound, specialised and looked up again.
    """

    __slots__ = ("_constants", "_fixed", "_function", "_options", "_programs", "_rest", "_run")

    def __init__(
        self,
        function: Any,
        programs: int,
        fixed: tuple[Any, ...],
        constants: dict[str, Any],
        in_double: bool = False,
    ) -> None:
        self._function = function
        self._programs = programs
        self._fixed = fixed
        self._constants = constants
        self._options = options(in_double)
        self._rest = (*fixed, *constants.values())
        self._run: Callable[..., Any] | None = None

    def __call__(self, *args: Any) -> None:
        if self._run is None or _watched(self._function):
            self._by_triton(args)
        else:
            self._run(*args, *self._rest)

    def _by_triton(self, args: tuple[Any, ...]) -> None:
        launch = self._function[(self._programs,)]
        kernel = launch(*args, *self._fixed, **self._constants, **self._options)
        # (The interpreter has none. On AMD GPUs, one depends on the sizes of the tensors, too.)
        known = isinstance(kernel, CompiledKernel) and kernel.metadata.target.backend == "cuda"
        if known and not _watched(self._function):
            self._run = kernel[self._programs, 1, 1]


def _watched(function: Any) -> bool:
    """Whether somebody wants to see launches before kernels are looked up, or changes which kernel
    is found. (Hooks of the launch itself are called for a compiled kernel, too.)"""
    return bool(
        function.pre_run_hooks
        or knobs.runtime.debug
        or getattr(knobs.compilation, "instrumentation_mode", "")
        or getattr(knobs.runtime, "add_stages_inspection_hook", None)
    )
