"""log P(bin of x) of a logistic distribution whose scale is at least e^-7; the twin of
``csrc/math/limited_logistic.h``, where the reasons stand."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.exponential import exp, exp_of_minus
from vaekern._backends.triton.math.scalar import (
    absolute,
    at_least,
    at_most,
    divide,
    fma,
    polynomial,
    square_root,
)


@triton.jit
def short_sinhc(z):
    """sinh(z) / z for 0 <= z <= 2.16."""
    if z.dtype == tl.float64:
        series = fma(z * z, 1.0 / (26 * 27), 1.0)
        for k in tl.static_range(12):
            series = fma(series, z * z * (1.0 / ((24 - 2 * k) * (25 - 2 * k))), 1.0)
    else:
        series = polynomial(
            z * z,
            (1.0, 0.166666671634, 0.00833330582827, 0.000198439360247, 2.74420949609e-6,
             2.73115947635e-8),
        )  # fmt: skip
    return series


@triton.jit
def limited_logistic(loc, log_scale, x):
    """Shift, numerator and denominator of log P, and what its gradients need beside them."""
    at_edge = absolute(x) > 0.999
    direction = tl.where(x < 0.0, 1.0, -1.0)
    s = at_least(-7.0, log_scale)
    inverse_scale = exp(-s)
    half = inverse_scale * (0.5 / 255.0)
    half_sinhc = short_sinhc(half)
    sinh_squared = (half * half_sinhc) * (half * half_sinhc)
    h = half + half
    cosh = fma(sinh_squared, 2.0, 1.0)
    sinhc = half_sinhc * square_root(sinh_squared + 1.0)
    centre = direction * ((x - loc) * inverse_scale)
    u = tl.where(at_edge, h + centre, centre)
    e = exp_of_minus(absolute(u))
    shift = tl.where(at_edge, at_most(0.0, u), (-4.848116364598481 - s) - absolute(u))
    numerator = tl.where(at_edge, 1.0, sinhc)
    denominator = fma(e, tl.where(at_edge, 1.0, fma(cosh, 2.0, e)), 1.0)
    limited = log_scale < -7.0
    kept = (at_edge, limited, direction, inverse_scale, h, sinhc, cosh, u, e)
    return shift, numerator, denominator, kept


@triton.jit
def limited_logistic_gradients(kept, inverse_denominator):
    """With respect to loc and log_scale."""
    at_edge, limited, direction, inverse_scale, h, sinhc, cosh, u, e = kept
    falling = tl.where(at_edge, 1.0, fma(-e, e, 1.0))
    rising = tl.where(at_edge, e, -falling)
    slope = tl.where(u < 0.0, falling, rising) * inverse_denominator
    of_u = tl.where(slope == 0.0, 0.0, slope * u)
    of_sinh = e * 2.0 * (h * h) * sinhc * inverse_denominator
    of_h = tl.where(at_edge, 0.0, divide(cosh, sinhc) - of_sinh)
    return -direction * (slope * inverse_scale), tl.where(limited, 0.0, -(of_u + of_h))
