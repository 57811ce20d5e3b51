"""log p(x) of an asymmetric Laplace distribution; the twin of the header of that name."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.scalar import absolute
from vaekern._backends.triton.math.scale import inverse_exp


@triton.jit
def asymmetric_laplace_log_likelihood(
    loc, s, x, over, under, log_weight, scale: tl.constexpr
):  # fmt: skip
    u = (x - loc) * inverse_exp(s)
    return (-s + log_weight - absolute(u) * tl.where(u < 0.0, under, over),)


@triton.jit
def asymmetric_laplace_log_likelihood_vjp(
    g, loc, s, x, over, under, log_weight, scale: tl.constexpr
):  # fmt: skip
    inverse_scale = inverse_exp(s)
    u = (x - loc) * inverse_scale
    slope = tl.where(u > 0.0, over, tl.where(u < 0.0, -under, u))
    dloc = g * (slope * inverse_scale)
    return dloc, g * (absolute(u) * tl.where(u < 0.0, under, over) - 1.0), -dloc
