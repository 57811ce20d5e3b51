"""log P(bin of x) of a logistic distribution over the 256 levels of [-1, 1]; the twin of
``csrc/math/discretized_logistic.h``, where the reasons stand."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.exponential import exp_and_phi, exp_of_minus
from vaekern._backends.triton.math.logarithm import log
from vaekern._backends.triton.math.scalar import (
    absolute,
    at_least,
    difference,
    divide,
    finite_or_zero,
    fma,
)
from vaekern._backends.triton.math.scale import in_units, limited_inverse, unlimited_inverse_exp


@triton.jit
def decay(w):
    """e^-w and 1 - e^-w for w >= 0."""
    left, phi = exp_and_phi(-w)
    return left, tl.where(w < 1.0, w - phi, 1.0 - left)


@triton.jit
def of_scale(s):
    """What depends on s alone: the scale's inverse, e^-w, w / (e^w - 1), and 1, 1 / (1 - e^-w) and
    0, or for a wide scale 0, 1 and -log w."""
    half: tl.constexpr = 1.0 / 255.0 if s.dtype == tl.float64 else 0.003921568859368563
    inverse_scale = unlimited_inverse_exp(s)
    w = limited_inverse(inverse_scale) * (2.0 * half)
    left, gone = decay(w)
    inverse = divide(1.0, gone)
    wide = s > 40.0
    pull = tl.where(wide, 1.0, w * left * inverse)
    less_log_width = tl.where(wide, s + 4.848116364598481, 0.0)
    one = tl.where(wide, 0.0, 1.0)
    return inverse_scale, left, pull, one, tl.where(wide, 1.0, inverse), less_log_width


@triton.jit
def end(centre, centre_lost, half, half_low):
    d, lost = difference(centre, half)
    return d + finite_or_zero(lost + (centre_lost - half_low))


@triton.jit
def bin_of(loc, inverse_scale, x):
    """u-, u+, q, p, and whether the bin is the lowest or the highest."""
    half: tl.constexpr = 1.0 / 255.0 if loc.dtype == tl.float64 else 0.003921568859368563
    low: tl.constexpr = 5.442269728554689e-20 if loc.dtype == tl.float64 else -2.319175823062074e-10
    lowest, highest = x < -0.999, x > 0.999
    centre, lost = difference(x, loc)
    upper = in_units(end(centre, lost, -half, -low), inverse_scale)
    lower = in_units(end(centre, lost, half, low), inverse_scale)
    p = tl.where(highest, 0.0, exp_of_minus(absolute(upper)))
    q = tl.where(lowest, 0.0, exp_of_minus(absolute(lower)))
    return lower, upper, q, p, lowest, highest


@triton.jit
def discretized_logistic_log_likelihood(loc, s, x, scale: tl.constexpr):
    inverse_scale, left, _, one, inverse_gone, less_log_width = of_scale(s)
    lower, upper, q, p, lowest, highest = bin_of(loc, inverse_scale, x)
    edge = lowest | highest
    numerator = fma(p, q, tl.where(edge, 0.0, left)) + (p + q)
    one = tl.where(edge, 1.0, one)
    ratio = numerator * tl.where(edge, 1.0, inverse_gone)
    total = one + ratio
    lost = divide(finite_or_zero(ratio - (total - one)), total)
    logarithm = log(total) + (tl.where(edge, 0.0, less_log_width) + lost)
    beyond = tl.where(highest, 0.0, at_least(0.0, -upper)) + tl.where(
        lowest, 0.0, at_least(0.0, lower)
    )
    return (-(beyond + logarithm),)


@triton.jit
def discretized_logistic_log_likelihood_vjp(g, loc, s, x, scale: tl.constexpr):
    inverse_scale, _, pull, _, _, _ = of_scale(s)
    lower, upper, q, p, lowest, highest = bin_of(loc, inverse_scale, x)
    above = tl.where(highest, 0.0, divide(tl.where(upper >= 0.0, p, 1.0), p + 1.0))
    below = tl.where(lowest, 0.0, divide(tl.where(lower >= 0.0, 1.0, q), q + 1.0))
    dloc = g * in_units(below - above, inverse_scale)
    of_upper = tl.where(above == 0.0, 0.0, above * upper)
    of_lower = tl.where(below == 0.0, 0.0, below * lower)
    pull = tl.where(lowest | highest, 0.0, pull)
    return dloc, g * (of_lower - of_upper - pull), -dloc
