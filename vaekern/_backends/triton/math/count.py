"""What densities of counts share; the twin of ``csrc/math/count.h``."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.exponential import exp_and_phi
from vaekern._backends.triton.math.logarithm import (
    log_or_limit,
    minus_log1p_tail,
    reduce_log_anywhere,
)
from vaekern._backends.triton.math.scalar import (
    INF,
    LN2_HIGH,
    LN2_LOW,
    at_most,
    difference,
    divide,
    finite_or_zero,
    fma,
)
from vaekern._backends.triton.math.stirling import digamma_rest, stirling_error


@triton.jit
def rounded_log(s):
    """log s and what rounding it lost."""
    if s.dtype == tl.float64:
        result = tl.log(s), tl.zeros_like(s)
    else:
        k, f = reduce_log_anywhere(s)
        integral = k * LN2_HIGH
        high = integral + f
        back = high - integral
        high_lost = (integral - (high - back)) + (f - back)
        tail = fma(k, LN2_LOW, -minus_log1p_tail(f))
        total = high + tail
        result = log_or_limit(s, total, -INF), (tail - (total - high)) + high_lost
    return result


@triton.jit
def count_beside(m, x):
    """Is x below 1; 1 / x and log x; t = m - log x and what rounding it lost; e^t and phi(t)."""
    small = x < 1.0
    held = tl.where(small, 1.0, x)
    logarithm, log_lost = rounded_log(held)
    ratio, ratio_lost = difference(m, logarithm)
    missing = finite_or_zero(ratio_lost - log_lost)
    t = ratio + missing
    lost = finite_or_zero(missing - (t - ratio))
    exp, phi = exp_and_phi(t)
    return small, divide(1.0, held), logarithm, t, lost, exp, phi


@triton.jit
def phi_of_count(t, lost, exp, phi):
    near = (t > -4.0) & (t < 4.0)
    close = fma(t + phi, lost, phi)
    far = fma(exp, lost, exp) - 1.0 - at_most(1e30, t)
    return tl.where(near, close, tl.where(exp < INF, far, exp))


@triton.jit
def stirling_of_count(inverse, logarithm):
    return fma(logarithm, 0.5, stirling_error(inverse) + 0.9189385332046727)


@triton.jit
def digamma_of_count(inverse):
    return inverse * (0.5 - inverse * digamma_rest(inverse))
