"""log p(x) of a Poisson count; the twin of ``csrc/math/poisson.h``."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.count import (
    count_beside,
    digamma_of_count,
    phi_of_count,
    stirling_of_count,
)
from vaekern._backends.triton.math.exponential import exp
from vaekern._backends.triton.math.scalar import at_most, fma
from vaekern._backends.triton.math.stirling import small_digamma, small_log_factorial


@triton.jit
def poisson_log_likelihood(log_rate, x, scale: tl.constexpr):
    small, inverse, logarithm, t, lost, exp_t, phi = count_beside(log_rate, x)
    finite = at_most(1e4, log_rate)
    linear = tl.where(x == 0.0, 0.0, x * (finite - small_log_factorial(x)))
    large = -fma(x, phi_of_count(t, lost, exp_t, phi), stirling_of_count(inverse, logarithm))
    return (tl.where(small, linear - exp_t, large),)


@triton.jit
def poisson_log_likelihood_vjp(g, log_rate, x, scale: tl.constexpr):
    small, inverse, _, t, _, _, _ = count_beside(log_rate, x)
    dx = tl.where(small, log_rate - small_digamma(x), t - digamma_of_count(inverse))
    return g * (x - exp(log_rate)), g * dx
