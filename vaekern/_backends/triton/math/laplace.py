"""log p(x) of a Laplace distribution; the twin of ``csrc/math/laplace.h``."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.scalar import absolute
from vaekern._backends.triton.math.scale import inverse_exp


@triton.jit
def laplace_log_likelihood(loc, s, x, scale: tl.constexpr):
    u = (x - loc) * inverse_exp(s)
    return (-(s + 0.6931471805599453) - absolute(u),)


@triton.jit
def laplace_log_likelihood_vjp(g, loc, s, x, scale: tl.constexpr):
    inverse_scale = inverse_exp(s)
    u = (x - loc) * inverse_scale
    sign = tl.where(u > 0.0, 1.0, tl.where(u < 0.0, -1.0, u))
    dloc = g * (sign * inverse_scale)
    return dloc, g * (absolute(u) - 1.0), -dloc
