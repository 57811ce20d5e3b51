"""log p(x) of N(mean, e^v); the twin of ``csrc/math/gaussian.h``.

Nothing is prepared by hand where s is one number for many elements: such a block has one element,
and so has all that is computed from it alone.
"""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.scalar import fma
from vaekern._backends.triton.math.scale import from_dlogvar, inverse_std, log_variance


@triton.jit
def gaussian_log_likelihood(mean, s, x, scale: tl.constexpr):
    u = (x - mean) * inverse_std(s, scale)
    at_mean = (log_variance(s, scale) + 1.8378770664093453) * -0.5
    return (at_mean - 0.5 * u * u,)


@triton.jit
def gaussian_log_likelihood_vjp(g, mean, s, x, scale: tl.constexpr):
    inverse = inverse_std(s, scale)
    u = (x - mean) * inverse
    dmean = g * (u * inverse)
    dlogvar = g * fma(0.5 * u, u, -0.5)
    return dmean, from_dlogvar(dlogvar, s, scale), -dmean
