"""Samples of a diagonal Gaussian, alone and with its KL divergence; the twin of
``csrc/math/reparameterize.h``."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.gaussian_kl import gaussian_kl, gaussian_kl_vjp
from vaekern._backends.triton.math.scalar import fma
from vaekern._backends.triton.math.scale import from_dlogvar, from_dstd, spread, std


@triton.jit
def reparameterize(mu, s, eps, scale: tl.constexpr):
    return (fma(std(s, scale), eps, mu),)


@triton.jit
def reparameterize_vjp(g, s, eps, scale: tl.constexpr):
    deviation = std(s, scale)
    return from_dstd(g * eps, deviation, scale), g * deviation


@triton.jit
def sample_with_standard_kl(mu, s, eps, scale: tl.constexpr):
    deviation, half_phi, _ = spread(s, scale)
    return fma(deviation, eps, mu), fma(0.5 * mu, mu, half_phi)


@triton.jit
def sample_with_standard_kl_vjp(gz, gkl, mu, s, eps, scale: tl.constexpr):
    deviation, _, half_expm1 = spread(s, scale)
    ds = from_dstd(gz * eps, deviation, scale) + from_dlogvar(gkl * half_expm1, s, scale)
    return fma(gkl, mu, gz), ds, gz * deviation


@triton.jit
def sample_with_gaussian_kl(mu, s, m, p, eps, scale: tl.constexpr):
    (z,) = reparameterize(mu, s, eps, scale)
    (kl,) = gaussian_kl(mu, s, m, p, scale)
    return z, kl


@triton.jit
def sample_with_gaussian_kl_vjp(gz, gkl, mu, s, m, p, eps, scale: tl.constexpr):
    dmu, ds, dm, dp = gaussian_kl_vjp(gkl, mu, s, m, p, scale)
    ds_of_z, deps = reparameterize_vjp(gz, s, eps, scale)
    return gz + dmu, ds + ds_of_z, dm, dp, deps
