"""Likelihoods with a location and a scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from vaekern._backends.plain.elements import image, per_datapoint, power_series, widen
from vaekern._backends.plain.scales import deviations, log_variance

__all__ = [
    "asymmetric_laplace_log_likelihood",
    "discretized_logistic",
    "discretized_logistic_log_likelihood",
    "gaussian_log_likelihood",
    "laplace_log_likelihood",
    "student_t_log_likelihood",
]

_LOG_2PI = math.log(2.0 * math.pi)


def gaussian_log_likelihood(
    mean: Tensor, logvar: Tensor, x: Tensor, batch_dims: int, scale: str, uint8_range: str
) -> Tensor:
    mean, logvar = widen(mean, logvar, *([x] if x.is_floating_point() else []))[:2]
    u = deviations(image(x, mean, uint8_range), mean, logvar, scale)
    v = log_variance(logvar, scale)
    return per_datapoint(-0.5 * (u * u + v + _LOG_2PI), batch_dims)


def laplace_log_likelihood(
    loc: Tensor, log_scale: Tensor, x: Tensor, batch_dims: int, uint8_range: str
) -> Tensor:
    loc, log_scale = widen(loc, log_scale, *([x] if x.is_floating_point() else []))[:2]
    u = deviations(image(x, loc, uint8_range), loc, log_scale, "log_std")
    sign = torch.where(u.isnan(), u, torch.sign(u)).detach()  # NaN of NaN
    return per_datapoint(-(sign * u + log_scale + math.log(2.0)), batch_dims)


def asymmetric_laplace_log_likelihood(
    loc: Tensor,
    log_scale: Tensor,
    x: Tensor,
    batch_dims: int,
    quantile: float,
    uint8_range: str,
) -> Tensor:
    loc, log_scale = widen(loc, log_scale, *([x] if x.is_floating_point() else []))[:2]
    u = deviations(image(x, loc, uint8_range), loc, log_scale, "log_std")
    slope = torch.where(u > 0.0, quantile, torch.where(u < 0.0, quantile - 1.0, u)).detach()
    log_weight = math.log(quantile) + math.log1p(-quantile)
    return per_datapoint(log_weight - log_scale - slope * u, batch_dims)


def student_t_log_likelihood(
    loc: Tensor, log_scale: Tensor, df: Tensor, x: Tensor, batch_dims: int, uint8_range: str
) -> Tensor:
    loc, log_scale, df = widen(loc, log_scale, df, *([x] if x.is_floating_point() else []))[:3]
    df = torch.where(df == math.inf, 1e30, df)  # a Gaussian, to every digit
    u = deviations(image(x, loc, uint8_range), loc, log_scale, "log_std")
    ratio = u / df.sqrt()
    far = ratio.abs() > 1.0
    near, large = torch.where(far, 0.0, ratio), torch.where(far, ratio, 1.0)
    above = 2.0 * large.abs().log() + torch.log1p((1.0 / large).square())
    log1p = torch.where(far, above, torch.log1p(near * near))
    at_loc = log_half_step(0.5 * df) - 0.5 * _LOG_2PI
    return per_datapoint(at_loc - log_scale - 0.5 * (df + 1.0) * log1p, batch_dims)


def log_half_step(a: Tensor) -> Tensor:
    """log(Gamma(a + 1/2) / Gamma(a)) - log(a) / 2 for a > 0, which vanishes for large a: the
    asymptotic series, reached in steps of 1."""
    steps = torch.zeros_like(a)
    for n in range(10):
        z = a + n
        steps = steps + torch.log(z / (z + 0.5) * ((z + 1.0) / (z + 0.5)))
    inverse = 1.0 / (a + 10.0)
    terms = [-1 / 8, 1 / 192, -1 / 640, 17 / 14336, -31 / 18432, 691 / 180224, -5461 / 425984]
    return 0.5 * steps + inverse * power_series(inverse * inverse, terms)


def discretized_logistic_log_likelihood(
    loc: Tensor, log_scale: Tensor, x: Tensor, batch_dims: int
) -> Tensor:
    loc, log_scale = widen(loc, log_scale, *([x] if x.is_floating_point() else []))[:2]
    return per_datapoint(discretized_logistic(loc, log_scale, image(x, loc, "signed")), batch_dims)


def discretized_logistic(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    """log P of the bin of each x, one of 256 in [-1, 1], from the logistic function at its ends."""
    half = 1.0 / 255.0
    most = math.log(torch.finfo(log_scale.dtype).max) - 1.0
    limited = torch.where(log_scale < -most, -most, torch.where(log_scale > most, most, log_scale))
    inverse = torch.exp(-limited)
    upper, lower = (x - loc + half) * inverse, (x - loc - half) * inverse
    wide = log_scale > 40.0  # the bin's width loses its digits
    width = 2.0 * half * torch.where(wide, 1.0, inverse)
    log_share = torch.where(
        wide, math.log(2.0 * half) - log_scale, log_one_minus_exp_of_minus(width)
    )
    below, above = functional.logsigmoid(upper), functional.logsigmoid(-lower)
    inside = below + above + log_share
    return torch.where(x < -0.999, below, torch.where(x > 0.999, above, inside))


def log_one_minus_exp_of_minus(w: Tensor) -> Tensor:
    """log(1 - e^-w) for w >= 0."""
    near = w < math.log(2.0)
    small, large = torch.where(near, w, 1.0), torch.where(near, 1.0, w)
    return torch.where(near, (-torch.expm1(-small)).log(), torch.log1p(-torch.exp(-large)))
