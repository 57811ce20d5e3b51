"""Logarithms; of the twin of ``csrc/core/scalar.h``, where the reasons stand."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.scalar import (
    INF,
    LN2_HIGH,
    LN2_LOW,
    absolute,
    bits,
    fma,
    from_bits,
    polynomial,
)


@triton.jit
def log1p_unit(a):
    if a.dtype == tl.float64:
        one_plus = a + 1.0
        result = tl.log(one_plus) + (a - (one_plus - 1.0)) / one_plus
    else:
        tail = polynomial(
            a,
            (-0.499996479631, 0.333213226174, -0.24857163699, 0.191536551616, -0.137538029697,
             0.0792045444326, -0.0300657984647, 0.00536482602417),
        )  # fmt: skip
        result = fma(a * a, tail, a)
    return result


@triton.jit
def minus_log1p_tail(f):
    tail = polynomial(
        f,
        (0.499999976445, -0.333333253538, 0.250007787128, -0.20001636363, 0.166270929251,
         -0.141961430824, 0.131140402791, -0.127773554715, 0.0777805630782),
    )  # fmt: skip
    return tail * (f * f)


@triton.jit
def reduce_log(x):
    integer = x.to(tl.int32, bitcast=True)
    k = (integer - 0x3F3504F3) >> 23
    return k.to(tl.float32), from_bits(integer - (k << 23)) - 1.0


@triton.jit
def reduce_log_anywhere(s):
    normal = bits(s) >= 0x00800000
    k, f = reduce_log(s * tl.where(normal, 1.0, 16777216.0))
    return k - tl.where(normal, 0.0, 24.0), f


@triton.jit
def log_or_limit(s, finite, at_zero):
    limit = tl.where(s == 0.0, at_zero, tl.where(s < 0.0, float("nan"), s))
    return tl.where((s > 0.0) & (s < INF), finite, limit)


@triton.jit
def power_of_minus(k):
    return from_bits((127 - k.to(tl.int32)) << 23)


@triton.jit
def reduce_log_near_one(s, t):
    k, reduced = reduce_log_anywhere(s)
    power = power_of_minus(k)
    return k, tl.where(absolute(k) < 1.5, fma(power, t, power - 1.0), reduced)


@triton.jit
def log_gap(s, t):
    if s.dtype == tl.float64:
        result = double_log_gap(s, t)
    else:
        k, f = reduce_log_near_one(s, t)
        exact = fma(k, -LN2_HIGH, t) - f
        result = log_or_limit(s, exact + fma(k, -LN2_LOW, minus_log1p_tail(f)), INF)
    return result


@triton.jit
def double_log_gap(s, t):
    series = fma(t, -1.0 / 26.0, 1.0 / 25.0)  # sum of (-t)^k / (k + 2)
    for k in tl.static_range(23):
        series = fma(series, -t, 1.0 / (24 - k))
    return tl.where(absolute(t) < 0.2, t * t * series, tl.where(s < INF, t - tl.log(s), s))


@triton.jit
def log_of_reduced(k, f):
    return fma(k, LN2_HIGH, fma(k, LN2_LOW, -minus_log1p_tail(f)) + f)


@triton.jit
def log(s):
    if s.dtype == tl.float64:
        result = tl.log(s)
    else:
        k, f = reduce_log_anywhere(s)
        result = log_or_limit(s, log_of_reduced(k, f), -INF)
    return result


@triton.jit
def log_of_normal(s):
    """Of a positive normal number, garbage else."""
    if s.dtype == tl.float64:
        result = tl.log(s)
    else:
        k, f = reduce_log(s)
        result = log_of_reduced(k, f)
    return result
