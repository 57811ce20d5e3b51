"""log p(x) of a Laplace distribution; the twin of ``csrc/math/laplace.h``."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.scalar import absolute
from vaekern._backends.triton.math.scale import beside_units, in_units, unlimited_inverse_exp


@triton.jit
def laplace_log_likelihood(loc, s, x, scale: tl.constexpr):
    d = x - loc
    beside = -(beside_units(s) + 0.6931471805599453) - absolute(d * unlimited_inverse_exp(s))
    return (tl.where(d == 0.0, -(s + 0.6931471805599453), beside),)


@triton.jit
def laplace_log_likelihood_vjp(g, loc, s, x, scale: tl.constexpr):
    inverse = unlimited_inverse_exp(s)
    u = in_units(x - loc, inverse)
    dloc = g * tl.where(u > 0.0, inverse, tl.where(u < 0.0, -inverse, u))
    return dloc, g * (absolute(u) - 1.0), -dloc
