"""log p(x) of Student's t distribution; the twin of ``csrc/math/student_t.h``."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.exponential import rounded_exp
from vaekern._backends.triton.math.gamma import log_half_step, log_half_step_derivative
from vaekern._backends.triton.math.near_one import gap_or_log, log1p_or_log
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
from vaekern._backends.triton.math.scale import inverse_exp, limited_inverse

INFINITELY_MANY = tl.constexpr(2.0**100)
HUGE = tl.constexpr(2.0**60)


@triton.jit
def distance(loc, s, df, x):
    """The held scale: its logarithm, what that lacks, and its inverse; the distance, u and w, what
    rounding w lost, where it is at most 1; is it huge, and its root, 2^-64 times, if it is."""
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
    w_lost = (residual + (lost - (square - rounded))) * inverse_of(df)
    tiny: tl.constexpr = 4.9e-324 if loc.dtype == tl.float64 else 1.401298464324817e-45
    part = at_least(tiny, inverse_scale * 2.0**-32)
    root = absolute(d) * 2.0**-32 * part * divide(1.0, square_root(df))
    return held, beyond, inverse_scale, d, u, w, w_lost, w > HUGE, root


@triton.jit
def inverse_of(df):
    return limited_inverse(divide(1.0, df))


@triton.jit
def log_of(found, huge):
    """log(1 + w), of itself or, where it is huge, of the logarithm of its root."""
    return fma(found, tl.where(huge, 2.0, 1.0), tl.where(huge, 88.722839111673, 0.0))


@triton.jit
def student_t_log_likelihood(loc, s, df, x, scale: tl.constexpr):
    df = at_most(INFINITELY_MANY, df)
    held, beyond, _, d, _, w, _, huge, root = distance(loc, s, df, x)
    at_loc = log_half_step(0.5 * df) - 0.9189385332046727
    further = tl.where(d == 0.0, 1.0, -df) * beyond
    log1p = log_of(log1p_or_log(w, huge, root), huge)
    return (at_loc - held - 0.5 * (df + 1.0) * log1p + further,)


@triton.jit
def student_t_log_likelihood_vjp(g, loc, s, df, x, scale: tl.constexpr):
    df = at_most(INFINITELY_MANY, df)
    more = df + 1.0
    _, beyond, inverse_scale, d, u, w, w_lost, huge, root = distance(loc, s, df, x)
    far = w > 1.0
    smaller = tl.where(far, divide(1.0, w), w)
    one_plus = smaller + 1.0
    inverse = divide(1.0, one_plus)
    share = tl.where(far, inverse, divide(smaller, one_plus))
    factor = divide(more, tl.where(far, d, df) * one_plus)
    dloc = g * (factor * tl.where(far, 1.0, u * inverse_scale))
    product = share * one_plus
    share_lost = (
        (smaller - product)
        - product_error(share, one_plus, product)
        - share * (smaller - (one_plus - 1.0))
    )
    lost = tl.where(far, 0.0, share * fma(w_lost, inverse, share_lost))
    found = gap_or_log(tl.where(far, divide(smaller, one_plus), inverse), -share, huge, root)
    excess = tl.where(huge, log_of(found, huge) + 2.0 * beyond - 1.0, found)
    dat_loc = 0.5 * log_half_step_derivative(0.5 * df)
    ddf = fma(fma(share, inverse_of(df), -excess) - lost, 0.5, dat_loc)
    return dloc, g * fma(more, share, -1.0), g * ddf, -dloc
