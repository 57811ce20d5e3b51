"""log p(x | probabilities) of a Bernoulli; the twin of ``csrc/math/bernoulli_probs.h``."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.logarithm import log, log_gap
from vaekern._backends.triton.math.scalar import at_least, divide, fma


@triton.jit
def log_of_rest(p):
    return -p - log_gap(1.0 - p, -p)


@triton.jit
def bernoulli_probs_log_likelihood(p, x, scale: tl.constexpr):
    log_p, log_q = at_least(-100.0, log(p)), at_least(-100.0, log_of_rest(p))
    return (fma(x, log_p, (1.0 - x) * log_q),)


@triton.jit
def bernoulli_probs_log_likelihood_vjp(g, p, x, scale: tl.constexpr):
    variance = p * (1.0 - p)
    held = tl.where(variance >= 0.0, at_least(1e-12, variance), float("nan"))
    return g * divide(x - p, held), g * (log(p) - log_of_rest(p))
