"""e^x - 1, and the logarithm of numbers of which the distance from 1 is known exactly; the twin of
``csrc/core/near_one.h``."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.exponential import exp_and_phi
from vaekern._backends.triton.math.logarithm import (
    double_log_gap,
    log_of_reduced,
    log_or_limit,
    reduce_log_near_one,
)
from vaekern._backends.triton.math.scalar import INF, absolute


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
