"""log p(x) of Student's t distribution; the twin of ``csrc/math/student_t.h``."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.exponential import rounded_exp
from vaekern._backends.triton.math.gamma import log_half_step, log_half_step_derivative
from vaekern._backends.triton.math.logarithm import log, log1p_unit, log_gap
from vaekern._backends.triton.math.scalar import (
    absolute,
    at_least,
    at_most,
    divide,
    finite_or_zero,
    fma,
    product_error,
    scaled_difference,
    square_root,
)
from vaekern._backends.triton.math.scale import inverse_exp

INFINITELY_MANY = tl.constexpr(2.0**100)
HUGE = tl.constexpr(2.0**60)


@triton.jit
def distance(loc, s, df, x):
    """The held scale: its logarithm, what that lacks, and its inverse; the distance and u, the
    smaller of w and 1 / w, log(1 + w), what rounding w lost, is w the larger, and is it huge."""
    least: tl.constexpr = -700.0 if loc.dtype == tl.float64 else -87.0
    held, beyond = at_least(least, s), at_least(0.0, least - s)
    inverse_scale = inverse_exp(held)
    d = x - loc
    u, lost = scaled_difference(x, loc, inverse_scale)
    rounded = u * u
    _, scale_lost = rounded_exp(-held)
    u_lost = fma(d, scale_lost, lost)
    lost = finite_or_zero(fma(2.0 * u, u_lost, product_error(u, u, rounded)))
    square = rounded + lost
    w = divide(square, df)
    product = w * df
    residual = (square - product) - product_error(w, df, product)
    w_lost = divide(residual + (lost - (square - rounded)), df)
    far = w > 1.0
    huge = w > HUGE
    smaller = tl.where(far, divide(1.0, w), w)
    tiny: tl.constexpr = 4.9e-324 if loc.dtype == tl.float64 else 1.401298464324817e-45
    root = absolute(d) * 2.0**-32 * at_least(tiny, inverse_scale * 2.0**-32)
    logarithm = log(tl.where(huge, divide(root, square_root(df)), w))
    whole = fma(logarithm, tl.where(huge, 2.0, 1.0), tl.where(huge, 88.722839111673, 0.0))
    log1p = log1p_unit(smaller) + tl.where(far, whole, 0.0)
    return held, beyond, inverse_scale, d, u, smaller, log1p, w_lost, far, huge


@triton.jit
def student_t_log_likelihood(loc, s, df, x, scale: tl.constexpr):
    df = at_most(INFINITELY_MANY, df)
    held, beyond, _, d, _, _, log1p, _, _, _ = distance(loc, s, df, x)
    at_loc = log_half_step(0.5 * df) - 0.9189385332046727
    further = tl.where(d == 0.0, 1.0, -df) * beyond
    return (at_loc - held - 0.5 * (df + 1.0) * log1p + further,)


@triton.jit
def student_t_log_likelihood_vjp(g, loc, s, df, x, scale: tl.constexpr):
    df = at_most(INFINITELY_MANY, df)
    more = df + 1.0
    _, beyond, inverse_scale, d, u, smaller, log1p, w_lost, far, huge = distance(loc, s, df, x)
    one_plus = smaller + 1.0
    share = divide(tl.where(far, 1.0, smaller), one_plus)
    factor = divide(more, tl.where(far, d, df) * one_plus)
    dloc = g * (factor * tl.where(far, 1.0, u * inverse_scale))
    product = share * one_plus
    share_lost = (
        (smaller - product)
        - product_error(share, one_plus, product)
        - share * (smaller - (one_plus - 1.0))
    )
    lost = tl.where(far, 0.0, share * (share_lost + divide(w_lost, one_plus)))
    gap = log_gap(divide(tl.where(far, smaller, 1.0), one_plus), -share)
    dat_loc = 0.5 * log_half_step_derivative(0.5 * df)
    excess = tl.where(huge, log1p + 2.0 * beyond - 1.0, gap)
    ddf = fma(divide(share, df) - excess - lost, 0.5, dat_loc)
    return dloc, g * fma(more, share, -1.0), g * ddf, -dloc
