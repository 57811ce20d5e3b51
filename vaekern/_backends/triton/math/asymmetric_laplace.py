"""log p(x) of an asymmetric Laplace distribution; the twin of the header of that name."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.scalar import absolute
from vaekern._backends.triton.math.scale import beside_units, in_units, unlimited_inverse_exp


@triton.jit
def asymmetric_laplace_log_likelihood(
    loc, s, x, over, under, log_weight, scale: tl.constexpr
):  # fmt: skip
    d = x - loc
    weighted = absolute(d * unlimited_inverse_exp(s)) * tl.where(d < 0.0, under, over)
    beside = -beside_units(s) + log_weight - weighted
    return (tl.where(d == 0.0, -s + log_weight, beside),)


@triton.jit
def asymmetric_laplace_log_likelihood_vjp(
    g, loc, s, x, over, under, log_weight, scale: tl.constexpr
):  # fmt: skip
    inverse = unlimited_inverse_exp(s)
    u = in_units(x - loc, inverse)
    dloc = g * tl.where(u > 0.0, over * inverse, tl.where(u < 0.0, -under * inverse, u))
    return dloc, g * (absolute(u) * tl.where(u < 0.0, under, over) - 1.0), -dloc
