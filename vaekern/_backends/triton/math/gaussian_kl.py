"""KL divergences of a diagonal Gaussian; the twin of ``csrc/math/gaussian_kl.h``."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.scalar import fma, half_square, scaled_difference
from vaekern._backends.triton.math.scale import from_dlogvar, inverse_std, relative_spread, spread


@triton.jit
def standard_kl(mu, s, scale: tl.constexpr):
    _, half_phi, _ = spread(s, scale)
    return (fma(0.5 * mu, mu, half_phi),)


@triton.jit
def standard_kl_vjp(g, mu, s, scale: tl.constexpr):
    _, _, half_expm1 = spread(s, scale)
    return g * mu, from_dlogvar(g * half_expm1, s, scale)


@triton.jit
def gaussian_kl(mu, s, m, p, scale: tl.constexpr):
    u, lost = scaled_difference(mu, m, inverse_std(p, scale))
    _, half_phi, _ = relative_spread(s, p, scale)
    return (half_square(u, lost) + half_phi,)


@triton.jit
def gaussian_kl_vjp(g, mu, s, m, p, scale: tl.constexpr):
    inverse = inverse_std(p, scale)
    u, lost = scaled_difference(mu, m, inverse)
    _, _, half_expm1 = relative_spread(s, p, scale)
    dmu = g * (u * inverse)
    dw = -g * (half_square(u, lost) + half_expm1)
    return dmu, from_dlogvar(g * half_expm1, s, scale), -dmu, from_dlogvar(dw, p, scale)
