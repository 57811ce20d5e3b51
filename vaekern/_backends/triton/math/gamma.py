"""Functions around the logarithm of the gamma function; the twin of ``csrc/core/gamma.h``, where
the reasons stand."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.scalar import at_most, divide, fma, log, polynomial


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
def half_step_product(z, n: tl.constexpr):
    half, next = z + 0.5, z + 1.0
    if n == 1:
        above, below = z * next, half * half
    else:
        above, below = half_step_product(next, n - 1)
        above, below = z * next * above, half * half * below
    return above, below


@triton.jit
def half_step_sum(z, n: tl.constexpr):
    next = z + 1.0
    total = divide(1.0, z * (z + 0.5) * next)
    if n > 1:
        total += half_step_sum(next, n - 1)
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
