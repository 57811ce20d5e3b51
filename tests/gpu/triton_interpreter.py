"""The Triton backend on CPU tensors, in Triton's interpreter.

The environment has to say so before anybody imports Triton: import this early.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch

from vaekern._backends.choice import why_no_triton
from vaekern._backends.launch import Backend

if "triton" in sys.modules:
    raise RuntimeError("Triton was imported before it could be told to interpret")
os.environ["TRITON_INTERPRET"] = "1"


def why_not() -> str:
    """What is missing, empty if nothing is."""
    return why_no_triton() or ""


def backend() -> Backend:
    """What runs the kernels on numpy, one program after the other."""
    from vaekern._backends import triton

    _call_directly()
    _round_as_gpus_do()
    run, empty, scale, mixture = triton.BACKEND
    return Backend(_quietly(run), empty, _quietly(scale), _quietly(mixture))


def _quietly(function: Callable[..., None]) -> Callable[..., None]:
    """numpy warns where floating-point arithmetic leaves the finite numbers."""

    def run(*args: Any) -> None:
        with np.errstate(all="ignore"):
            function(*args)

    return run


@cache
def _call_directly() -> None:
    """For each function that a kernel calls, the interpreter prepares the whole language anew: that
    takes far longer than the arithmetic. For the library's functions the launch has done it."""
    from triton.runtime.interpreter import InterpretedFunction

    of_triton = InterpretedFunction.__call__

    def call(function: Any, *args: Any, **kwargs: Any) -> Any:
        if function.fn.__module__.startswith("vaekern."):
            return function.rewrite()(*args, **kwargs)
        return of_triton(function, *args, **kwargs)

    InterpretedFunction.__call__ = call


@cache
def _round_as_gpus_do() -> None:
    """To bfloat16 the interpreter rounds towards zero, and gets subnormals and infinities wrong."""
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    of_triton = InterpreterBuilder.cast_impl

    def cast_impl(builder: Any, source: Any, to: Any) -> Any:
        if {source.dtype.scalar, to.scalar} != {tl.bfloat16, tl.float32}:
            return of_triton(builder, source, to)
        data = torch.from_numpy(np.ascontiguousarray(source.data))
        if to.scalar == tl.bfloat16:
            numbers = data.bfloat16().view(torch.uint16)
        else:
            numbers = data.view(torch.bfloat16).float()
        return TensorHandle(numbers.numpy(), to.scalar)

    InterpreterBuilder.cast_impl = cast_impl
