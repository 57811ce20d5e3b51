"""KL divergences of diagonal Gaussians, and their samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaekern._backends.plain.elements import near_zero, per_datapoint, power_series, widen
from vaekern._backends.plain.noise import normal
from vaekern._backends.plain.scales import deviations, log_variance, std

__all__ = [
    "gaussian_kl",
    "reparameterize",
    "sample_with_gaussian_kl",
    "sample_with_standard_kl",
    "standard_kl",
]


def variance_kl(v: Tensor) -> Tensor:
    """(e^v - 1 - v) / 2, the KL divergence to N(0, 1) of N(0, e^v)."""
    near, small, large = near_zero(v, 0.5)
    series = power_series(small, [0.5 / math.factorial(n) for n in range(2, 18)])
    # e^v / 2 may be finite where e^v is not
    half_exp = torch.where(
        large < 80.0, 0.5 * torch.exp(large.clamp(max=80.0)), torch.exp(large - math.log(2.0))
    )
    limited = torch.where(large == math.inf, 0.0, large)  # inf - inf is no limit
    return torch.where(near, small * small * series, half_exp - 0.5 - 0.5 * limited)


def std_variance_kl(std: Tensor, prior_std: Tensor) -> Tensor:
    """The same of the standard deviations, whose ratio is 1 + t:
    (ratio^2 - 1) / 2 - log ratio = t^2 / 2 + (t - log(1 + t))."""
    t = (std - prior_std) / prior_std
    near, small, large = near_zero(t, 0.125)
    gap = small * small * power_series(-small, [1.0 / n for n in range(2, 20)])
    left_out = near | (large == math.inf)  # inf - inf is no limit
    log_ratio = _log_ratio(*[torch.where(left_out, 1.0, s) for s in (std, prior_std)])
    return 0.5 * t * t + torch.where(near, gap, large - log_ratio)


def _log_ratio(a: Tensor, b: Tensor) -> Tensor:
    """log(a / b). The derivative of a quotient of very different numbers overflows."""
    far = (a / b).detach().log().abs() > 20.0
    apart = [torch.where(far, t, 1.0).log() for t in (a, b)]
    close = [torch.where(far, 1.0, t) for t in (a, b)]
    return torch.where(far, apart[0] - apart[1], (close[0] / close[1]).log())


def standard_kl(mu: Tensor, logvar: Tensor, batch_dims: int, scale: str) -> Tensor:
    mu, logvar = widen(mu, logvar)
    if scale == "std":
        divergence = std_variance_kl(logvar, torch.ones_like(logvar))
    else:
        divergence = variance_kl(log_variance(logvar, scale))
    return per_datapoint(0.5 * mu * mu + divergence, batch_dims)


def gaussian_kl(
    mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor, batch_dims: int, scale: str
) -> Tensor:
    mu, logvar, prior_mu, prior_logvar = widen(mu, logvar, prior_mu, prior_logvar)
    if scale == "std":
        divergence = std_variance_kl(logvar, prior_logvar)
    else:
        divergence = variance_kl(log_variance(logvar - prior_logvar, scale))
    u = deviations(mu, prior_mu, prior_logvar, scale)
    return per_datapoint(0.5 * u * u + divergence, batch_dims)


def reparameterize(
    mu: Tensor, logvar: Tensor, noise: Tensor, batch_dims: int, scale: str
) -> Tensor:
    dtype = torch.promote_types(mu.dtype, logvar.dtype)
    mu, logvar = widen(mu, logvar)
    eps = normal(noise, mu.shape, mu.dtype) if noise.dtype is torch.int64 else noise.to(mu.dtype)
    return (mu + std(logvar, scale) * eps).to(dtype)


def sample_with_standard_kl(
    mu: Tensor, logvar: Tensor, noise: Tensor, batch_dims: int, scale: str
) -> tuple[Tensor, Tensor]:
    z = reparameterize(mu, logvar, noise, batch_dims, scale)
    return z, standard_kl(mu, logvar, batch_dims, scale)


def sample_with_gaussian_kl(
    mu: Tensor,
    logvar: Tensor,
    prior_mu: Tensor,
    prior_logvar: Tensor,
    noise: Tensor,
    batch_dims: int,
    scale: str,
) -> tuple[Tensor, Tensor]:
    z = reparameterize(mu, logvar, noise, batch_dims, scale)
    return z, gaussian_kl(mu, logvar, prior_mu, prior_logvar, batch_dims, scale)
