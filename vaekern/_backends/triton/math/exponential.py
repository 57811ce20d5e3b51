"""Exponentials; of the twin of ``csrc/core/scalar.h``, where the reasons stand."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.scalar import (
    LN2_HIGH,
    LN2_LOW,
    absolute,
    at_most,
    bits,
    finite_or_zero,
    fma,
    from_bits,
    polynomial,
    with_sign_of,
)

ROUND_TO_INTEGER = tl.constexpr(12582912.0)


@triton.jit
def reduce_exp(x, exponent_bias):
    """k, k + bias in the low bits of a float, r, and what rounding r lost."""
    bias = exponent_bias + ROUND_TO_INTEGER
    shifted = fma(x, 1.44269504088896341, bias)
    k = shifted - bias
    exact = fma(k, -LN2_HIGH, x)
    r = fma(k, -LN2_LOW, exact)
    return k, shifted, r, fma(k, -LN2_LOW, exact - r)


@triton.jit
def times_power_of_two(x, scaled):
    return from_bits(bits(x) + (bits(scaled) << 23))


@triton.jit
def short_exp(r):
    tail = polynomial(
        r,
        (1.0, 0.499999933909, 0.166665197133, 0.0416683983914, 0.00836883035333, 0.00138143848759),
    )
    return fma(tail, r, 1.0)


@triton.jit
def exp_curvature(r):
    return polynomial(
        r,
        (0.500000001353, 0.166666665309, 0.0416664640698, 0.00833336091532, 0.00139337594559,
         0.000198578582005),
    )  # fmt: skip


@triton.jit
def twice_exp_curvature(r):
    return polynomial(
        r,
        (1.000000002706, 0.333333330618, 0.0833329281396, 0.01666672183064, 0.00278675189118,
         0.000397157164004),
    )  # fmt: skip


@triton.jit
def limited_for_exp(x):
    return with_sign_of(x, at_most(105.0, absolute(x)))


@triton.jit
def exp_bias(x):
    return tl.where(bits(x) >> 31 != 0, 64.0, -64.0)


@triton.jit
def reduce_exp_anywhere(x):
    return reduce_exp(limited_for_exp(x), exp_bias(x))


@triton.jit
def undo_bias(x):
    return tl.where(bits(x) >> 31 != 0, 5.421010862427522e-20, 18446744073709551616.0)


@triton.jit
def exp_of_reduced(mantissa, scaled, x):
    undo = undo_bias(x)
    return mantissa * from_bits((bits(scaled) << 23) - bits(undo)) * undo


@triton.jit
def exp(x):
    if x.dtype == tl.float64:
        result = tl.exp(x)
    else:
        _, scaled, r, _ = reduce_exp_anywhere(x)
        result = times_power_of_two(short_exp(r), scaled) * undo_bias(x)
    return result


@triton.jit
def rounded_exp(x):
    """e^x and what rounding it lost."""
    if x.dtype == tl.float64:
        result = tl.exp(x), tl.zeros_like(x)
    else:
        _, scaled, r, lost = reduce_exp_anywhere(x)
        undo = undo_bias(x)
        high = r + 1.0
        tail = fma(r * r, exp_curvature(r), r - (high - 1.0) + lost)
        total = high + tail
        power = times_power_of_two(tl.full(x.shape, 1.0, tl.float32), scaled) * undo
        lost = (tail - (total - high)) * power
        result = times_power_of_two(total, scaled) * undo, finite_or_zero(lost)
    return result


@triton.jit
def precise_exp(x):
    value, _ = rounded_exp(x)
    return value


@triton.jit
def exp_of_minus(x):
    if x.dtype == tl.float64:
        result = tl.exp(-x)
    else:
        _, scaled, r, _ = reduce_exp(-at_most(105.0, x), 64.0)
        result = times_power_of_two(short_exp(r), scaled) * 5.421010862427522e-20
    return result


@triton.jit
def exp_and_phi(x):
    if x.dtype == tl.float64:
        result = tl.exp(x), double_phi(x)
    else:
        k, scaled, r, _ = reduce_exp_anywhere(x)
        undo = undo_bias(x)
        curvature = exp_curvature(r)
        short = fma(fma(curvature, r, 1.0), r, 1.0)
        power = times_power_of_two(tl.full(x.shape, 1.0, tl.float32), scaled) * undo
        less_one = power - 1.0
        differences = fma(less_one, r, fma(k, -LN2_HIGH, less_one))
        phi = fma(power * curvature * r, r, fma(k, -LN2_LOW, differences))
        result = times_power_of_two(short, scaled) * undo, phi
    return result


@triton.jit
def double_phi(x):
    """There is no expm1 outside the CUDA library; from 1 on the plain difference keeps enough."""
    series = fma(x, 1.0 / 20.0, 1.0)  # 1 + x/3 (1 + x/4 (1 + ...))
    for k in tl.static_range(17):
        series = fma(series * x, 1.0 / (19 - k), 1.0)
    return tl.where(absolute(x) < 1.0, 0.5 * x * x * series, tl.exp(x) - 1.0 - x)
