"""log p(x | logits) of a Bernoulli; the twin of ``csrc/math/bernoulli.h``."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.exponential import exp_of_minus
from vaekern._backends.triton.math.logarithm import log1p_unit
from vaekern._backends.triton.math.scalar import absolute, divide, fma


@triton.jit
def bernoulli_log_likelihood(logit, x, scale: tl.constexpr):
    a = exp_of_minus(absolute(logit))
    q = tl.where(logit >= 0.0, x - 1.0, x)
    rest = -log1p_unit(a)
    return (tl.where(q == 0.0, rest, fma(q, logit, rest)),)


@triton.jit
def bernoulli_log_likelihood_vjp(g, logit, x, scale: tl.constexpr):
    a = exp_of_minus(absolute(logit))
    q = tl.where(logit >= 0.0, x - 1.0, x)
    p = tl.where(logit >= 0.0, x, x - 1.0)
    return g * (fma(p, a, q) * divide(1.0, a + 1.0)), g * logit
