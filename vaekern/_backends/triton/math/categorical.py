"""log p of classes and of counts of classes; the twin of ``csrc/math/categorical.h``."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.exponential import exp
from vaekern._backends.triton.math.scalar import difference, finite_or_zero, fma


@triton.jit
def probability(logit, high, low):
    from_high, high_lost = difference(logit, high)
    d, d_lost = difference(from_high, low)
    p = exp(d)
    return fma(p, finite_or_zero(high_lost + d_lost), p)


@triton.jit
def categorical_log_likelihood(logit, scale: tl.constexpr):
    return (logit,)


@triton.jit
def categorical_log_likelihood_vjp(g, logit, high, low, scale: tl.constexpr):
    return (-(g * probability(logit, high, low)),)


@triton.jit
def multinomial_log_likelihood(logit, count, scale: tl.constexpr):
    return tl.where(count == 0.0, 0.0, count * logit), count, logit


@triton.jit
def multinomial_log_likelihood_vjp(g, total, logit, count, high, low, scale: tl.constexpr):
    p = probability(logit, high, low)
    return g * (count - total * p), g * (logit - high - low)
