"""The Triton backend on CPU tensors, in Triton's interpreter.

The environment has to say so before anybody imports Triton: import this early.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from triton_types import remember_types

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
    _check_as_compilers_do()
    remember_types()
    _round_as_gpus_do()
    _fuse_as_gpus_do()
    _read_numbers()
    real = triton.BACKEND
    kernels = _quietly(real.scale), _quietly(real.mixture), _quietly(real.softmax)
    return Backend(_quietly(real.run), real.empty, *kernels)


def _quietly(function: Callable[..., None]) -> Callable[..., None]:
    """numpy warns where floating-point arithmetic leaves the finite numbers."""

    def run(*args: Any) -> None:
        with np.errstate(all="ignore"):
            function(*args)

    return run


@cache
def _call_directly() -> None:
    """For each function that a kernel calls, the interpreter prepares the whole language anew: that
    takes far longer than the arithmetic. For the library's functions the launch has done it, and
    for a module of Triton's own, its first function."""
    from triton.runtime.interpreter import InterpretedFunction

    of_triton, prepared = InterpretedFunction.__call__, set[str]()

    def call(function: Any, *args: Any, **kwargs: Any) -> Any:
        module = function.fn.__module__
        if module.startswith("vaekern.") or module in prepared:
            return function.rewrite()(*args, **kwargs)
        prepared.add(module)
        return of_triton(function, *args, **kwargs)

    InterpretedFunction.__call__ = call


@cache
def _check_as_compilers_do() -> None:
    """Not every sum of integers for overflow: unless asked to debug, compilers leave that out, and
    here it takes a third of the time."""
    from triton.runtime.interpreter import interpreter_builder

    interpreter_builder.options = replace(interpreter_builder.options, sanitize_overflow=False)


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


@cache
def _fuse_as_gpus_do() -> None:
    """Before Triton 3.9, the interpreter rounds the product of an fma, and then the sum."""
    import triton.language as tl
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

    def create_fma(_: Any, x: Any, y: Any, z: Any) -> Any:
        return TensorHandle(fused(x.data, y.data, z.data), z.dtype.scalar)

    number, tiny = np.float32([1.0 + 2.0**-12]), 2.0**-24
    square, x = number * number, TensorHandle(number, tl.float32)
    found = InterpreterBuilder().create_fma(x, x, TensorHandle(-square, tl.float32))
    if found.data != tiny:
        InterpreterBuilder.create_fma = create_fma


def fused(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """x y + z, rounded once. (In float64 as Boldo and Melquiond do it: Emulation of FMA and
    correctly rounded sums: proved algorithms using rounding to odd, 2008.)"""
    if x.dtype != np.float64:
        product = x.astype(np.float64) * y.astype(np.float64)  # exact
        return _sum_rounded_to_odd(product, z.astype(np.float64)).astype(x.dtype)
    product = x * y
    plain = product + z
    product_lost = _product_lost(x, y, product)
    tail, tail_lost = _sum_and_lost(z, product_lost)
    total, total_lost = _sum_and_lost(product, tail)
    exact = total + _sum_rounded_to_odd(tail_lost, total_lost)
    # Where splitting overflows, or there are infinities, plain arithmetic has to do; and for the
    # sign of a zero.
    return np.where(np.isfinite(exact) & (exact != 0.0), exact, plain)


def _sum_and_lost(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = a + b
    shift = total - a
    return total, (a - (total - shift)) + (b - shift)


def _product_lost(a: np.ndarray, b: np.ndarray, product: np.ndarray) -> np.ndarray:
    """What rounding a product of doubles lost, by halves of their digits (Dekker)."""

    def halves(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shifted = x * 134217729.0  # 2^27 + 1
        high = shifted - (shifted - x)
        return high, x - high

    (a_high, a_low), (b_high, b_low) = halves(a), halves(b)
    crossed = a_high * b_high - product + a_high * b_low + a_low * b_high
    return crossed + a_low * b_low


def _sum_rounded_to_odd(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The sum if it is exact, else whichever of its neighbours has an odd last digit: rounded again
    to fewer digits, that is what the exact sum would be."""
    total, lost = _sum_and_lost(a, b)
    even = total.view(np.int64) & 1 == 0
    neighbour = np.nextafter(total, np.copysign(np.inf, lost))
    return np.where(even & (lost != 0.0) & np.isfinite(lost), neighbour, total)


@cache
def _read_numbers() -> None:
    """Before Triton 3.7, the interpreter takes a range's length from an array of one element, as
    NumPy does no more from 2.4 on."""
    from triton.runtime import interpreter

    of_triton = interpreter._patch_lang_tensor

    def patch_tensor(tensor: Any, *rest: Any) -> None:
        of_triton(tensor, *rest)
        tensor.__index__ = lambda number: int(number.handle.data.item())

    interpreter._patch_lang_tensor = patch_tensor
