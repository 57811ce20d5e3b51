"""e^x - 1, and the logarithm of numbers of which the distance from 1 is known exactly; the twin of
``csrc/core/near_one.h``."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.exponential import exp_and_phi
from vaekern._backends.triton.math.logarithm import (
    double_log_gap,
    log_gap,
    log_of_reduced,
    log_or_limit,
    minus_log1p_tail,
    power_of_minus,
    reduce_log,
    reduce_log_near_one,
)
from vaekern._backends.triton.math.scalar import (
    INF,
    LN2_HIGH,
    LN2_LOW,
    absolute,
    fma,
)


@triton.jit
def expm1(x):
    exp, phi = exp_and_phi(x)
    return tl.where(absolute(x) < 1.0, x + phi, exp - 1.0)


@triton.jit
def log_near_one(s, t):
    if s.dtype == tl.float64:
        result = tl.where(absolute(t) < 0.2, t - double_log_gap(s, t), tl.log(s))
    else:
        k, f = reduce_log_near_one(s, t)
        result = log_or_limit(s, log_of_reduced(k, f), -INF)
    return result


@triton.jit
def log1p_or_log(w, elsewhere, s):
    if w.dtype == tl.float64:
        one_plus = w + 1.0
        log1p = tl.log(one_plus) + (w - (one_plus - 1.0)) / one_plus
        result = tl.where(elsewhere, tl.log(s), log1p)
    else:
        k, reduced = reduce_log(tl.where(elsewhere, s, w + 1.0))
        power = power_of_minus(k)
        f = tl.where(elsewhere, reduced, fma(power, w, power - 1.0))
        result = tl.where(elsewhere & ~(s < INF), s, log_of_reduced(k, f))
    return result


@triton.jit
def gap_or_log(s, t, elsewhere, other):
    if s.dtype == tl.float64:
        result = tl.where(elsewhere, tl.log(other), log_gap(s, t))
    else:
        k, reduced = reduce_log(tl.where(elsewhere, other, s))
        power = power_of_minus(k)
        near = ~elsewhere & (absolute(k) < 1.5)
        f = tl.where(near, fma(power, t, power - 1.0), reduced)
        tail = minus_log1p_tail(f)
        gap = (fma(k, -LN2_HIGH, t) - f) + fma(k, -LN2_LOW, tail)
        log = fma(k, LN2_HIGH, fma(k, LN2_LOW, -tail) + f)
        result = tl.where(elsewhere, tl.where(other < INF, log, other), gap)
    return result
