"""Functions around the logarithm of the gamma function; the twin of ``csrc/core/gamma.h``, where
the reasons stand."""

# mypy: ignore-errors
# ruff: noqa: RUF005

import triton
import triton.language as tl

from vaekern._backends.triton.math.logarithm import log
from vaekern._backends.triton.math.scalar import (
    at_most,
    divide,
    fma,
    polynomial,
)


@triton.jit
def half_step_series(inverse):
    return inverse * polynomial(
        inverse * inverse,
        (-1.0 / 8, 1.0 / 192, -1.0 / 640, 17.0 / 14336, -31.0 / 18432, 691.0 / 180224,
         -5461.0 / 425984),
    )  # fmt: skip


@triton.jit
def half_step_series_derivative(inverse):
    square = inverse * inverse
    return square * polynomial(
        square,
        (1.0 / 8, -3.0 / 192, 5.0 / 640, -7 * 17.0 / 14336, 9 * 31.0 / 18432, -11 * 691.0 / 180224,
         13 * 5461.0 / 425984),
    )  # fmt: skip


@triton.jit
def steps_of_one(z, n: tl.constexpr):
    """z, z + 1, ..., z + n. (Loops, since Triton 3.4 does not let a function call itself.)"""
    at = (z,)
    for k in tl.static_range(n):
        at = at + (at[k] + 1.0,)
    return at


@triton.jit
def half_step_product(z, n: tl.constexpr):
    at = steps_of_one(z, n)
    above, below = tl.full(z.shape, 1.0, z.dtype), tl.full(z.shape, 1.0, z.dtype)
    for k in tl.static_range(n):
        half = at[n - 1 - k] + 0.5
        above, below = at[n - 1 - k] * at[n - k] * above, half * half * below
    return above, below


@triton.jit
def half_step_sum(z, n: tl.constexpr):
    at = steps_of_one(z, n)
    total = tl.zeros_like(z)
    for k in tl.static_range(n):
        first = at[n - 1 - k]
        total += divide(1.0, first * (first + 0.5) * at[n - k])
    return total


@triton.jit
def log_half_step(a):
    n: tl.constexpr = 10 if a.dtype == tl.float64 else 3
    largest: tl.constexpr = 1e9 if a.dtype == tl.float64 else 1e4
    above, below = half_step_product(at_most(largest, a), n)
    return 0.5 * log(divide(above, below)) + half_step_series(divide(1.0, a + n))


@triton.jit
def log_half_step_derivative(a):
    n: tl.constexpr = 10 if a.dtype == tl.float64 else 3
    return fma(half_step_sum(a, n), 0.25, half_step_series_derivative(divide(1.0, a + n)))
