"""KL divergence of categorical distributions; the twin of ``csrc/math/categorical_kl.h``, where the
reasons stand."""

# mypy: ignore-errors
# ruff: noqa: N803

import triton
import triton.language as tl

from vaekern._backends.triton.math.exponential import exp_and_phi
from vaekern._backends.triton.math.logarithm import log_gap
from vaekern._backends.triton.math.near_one import expm1, log_near_one
from vaekern._backends.triton.math.scalar import (
    INF,
    absolute,
    difference,
    divide,
    fma,
)
from vaekern._backends.triton.math.softmax_row import below_top, exp_below_top


@triton.jit
def log_ratio_beside_tops(tops, lm):
    top, prior_top = tops
    logit, prior = lm
    shift, shift_lost = difference(top, prior_top)
    d, d_lost = difference(logit, prior)
    x, x_lost = difference(d, shift)
    exact = x + ((x_lost + d_lost) - shift_lost)
    a, b = below_top(logit, top), below_top(prior, prior_top)
    return tl.where(absolute(exact) < INF, exact, tl.where(a == b, 0.0, a - b))


@triton.jit
def excess(a, b, x):
    return tl.where(x > 1.0, a - b, b * expm1(x))


@triton.jit
def kl_exponentials(tops, lm):
    e, f = exp_below_top(lm[0], tops[0]), exp_below_top(lm[1], tops[1])
    return e, f, excess(e, f, log_ratio_beside_tops(tops, lm))


@triton.jit
def kl_log_ratio(sums):
    return log_near_one(divide(sums[0], sums[1]), divide(sums[2], sums[1]))


@triton.jit
def kl_class(tops, sums, log_ratio, mixing, lm):
    kept, floor = mixing
    s = divide(exp_below_top(lm[0], tops[0]), sums[0])
    t = divide(exp_below_top(lm[1], tops[1]), sums[1])
    y = log_ratio_beside_tops(tops, lm) - log_ratio
    return s, t, fma(s, kept, floor), fma(t, kept, floor), y, kept * excess(s, t, y)


@triton.jit
def kl_term(row, mixing, lm, MIXED: tl.constexpr, TINY: tl.constexpr):
    tops, sums, log_ratio = row
    _, _, q, p, y, less = kl_class(tops, sums, log_ratio, mixing, lm)
    if MIXED:
        gap = log_gap(divide(p, q), divide(-less, q))
    else:
        exp, phi = exp_and_phi(-y)
        gap = tl.where(absolute(y) < 2.0, phi, (exp - 1.0) + y)
    return tl.where(q < TINY, -less, q * gap)


@triton.jit
def kl_slopes(row, mixing, lm, MIXED: tl.constexpr):
    tops, sums, log_ratio = row
    s, t, q, p, y, less = kl_class(tops, sums, log_ratio, mixing, lm)
    r, tw = y, less
    if MIXED:
        w = divide(less, p)
        r, tw = log_near_one(divide(q, p), w), t * w
    return s, tl.where(s == 0.0, 0.0, s * r), t, tw
