"""log p(x) of N(mean, e^v); the twin of ``csrc/math/gaussian.h``.

Nothing is prepared by hand where s is one number for many elements: such a block has one element,
and so has all that is computed from it alone.
"""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.scalar import fma
from vaekern._backends.triton.math.scale import (
    beside_units,
    from_dlogvar,
    in_units,
    limited_inverse,
    log_variance,
    unlimited_inverse_std,
)


@triton.jit
def gaussian_log_likelihood(mean, s, x, scale: tl.constexpr):
    d = x - mean
    u = d * unlimited_inverse_std(s, scale)
    v = log_variance(s, scale)
    at_mean = (v + 1.8378770664093453) * -0.5
    beside = (beside_units(v) + 1.8378770664093453) * -0.5
    return (tl.where(d == 0.0, at_mean, beside - 0.5 * u * u),)


@triton.jit
def gaussian_log_likelihood_vjp(g, mean, s, x, scale: tl.constexpr):
    inverse = unlimited_inverse_std(s, scale)
    u = in_units(x - mean, inverse)
    dmean = g * (u * limited_inverse(inverse))
    dlogvar = g * fma(0.5 * u, u, -0.5)
    return dmean, from_dlogvar(dlogvar, s, scale), -dmean
