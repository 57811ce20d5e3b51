"""Bernoulli likelihoods: of logits, of probabilities, and the continuous one."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaekern._backends.plain.elements import image, near_zero, per_datapoint, power_series, widen

__all__ = [
    "bernoulli_log_likelihood",
    "bernoulli_probs_log_likelihood",
    "continuous_bernoulli_log_likelihood",
]

#: log(sinh(l / 2) / (l / 2)) as l^2 times a series in l^2
_LOG_SINHC = (1 / 24, -1 / 2880, 1 / 181440, -1 / 9676800, 1 / 479001600, -4.40349178223957765e-11,
              9.55895466477477059e-13, -2.11855018520161429e-14, 4.77003447570991365e-16,
              -1.08743434927903094e-17, 2.50409219470919523e-19)  # fmt: skip


def bernoulli_log_likelihood(
    logits: Tensor, x: Tensor, batch_dims: int, uint8_range: str
) -> Tensor:
    (logits,) = widen(logits) if not x.is_floating_point() else widen(logits, x)[:1]
    x = image(x, logits, uint8_range).to(logits.dtype)
    positive = logits >= 0
    magnitude = torch.where(positive, logits, -logits)  # with derivative 1 at 0, unlike abs
    weight = torch.where(positive, 1.0 - x, x)
    nothing = (weight == 0) & torch.isinf(magnitude)  # 0 * inf counts as 0
    linear = weight * torch.where(nothing, torch.zeros_like(magnitude), magnitude)
    return per_datapoint(-(linear + torch.log1p(torch.exp(-magnitude))), batch_dims)


def bernoulli_probs_log_likelihood(
    probs: Tensor, x: Tensor, batch_dims: int, uint8_range: str
) -> Tensor:
    (probs,) = widen(probs) if not x.is_floating_point() else widen(probs, x)[:1]
    x = image(x, probs, uint8_range).to(probs.dtype)
    uncertain = probs * (1.0 - probs) > 1e-12
    held = torch.where(uncertain, probs, 0.5)
    elements = x * held.log() + (1.0 - x) * torch.log1p(-held)
    return per_datapoint(torch.where(uncertain, elements, _of_certain(probs, x)), batch_dims)


def _of_certain(p: Tensor, x: Tensor) -> Tensor:
    """The same for p (1 - p) <= 1e-12, with the derivatives of torch's ``binary_cross_entropy``,
    which are not those of the value: they come from further terms, each of them 0."""
    fixed = p.detach()
    logs = torch.stack([fixed.log(), torch.log1p(-fixed)])  # NaN outside [0, 1]
    log_p, log_q = logs.clamp(min=-100.0)
    value = x * log_p + (1.0 - x) * log_q
    sharpness = torch.full_like(p, 1e12).masked_fill((log_p + log_q).isnan(), math.nan)
    along_p = sharpness * ((p - fixed) * x - 0.5 * (p * p - fixed * fixed))
    return value + along_p + _zero_with_slope(x, logs[0] - logs[1] - (log_p - log_q))


def _zero_with_slope(x: Tensor, slope: Tensor) -> Tensor:
    """0, with the derivative ``slope``, be it infinite as that of a square root is at 0."""
    zero, infinite = x - x.detach(), slope.isinf()
    steep = torch.where(infinite, zero, 1.0).sqrt() * slope.sign()
    return torch.where(infinite, steep, zero * torch.where(infinite, 0.0, slope))


def continuous_bernoulli_log_likelihood(
    logits: Tensor, x: Tensor, batch_dims: int, uint8_range: str
) -> Tensor:
    (logits,) = widen(logits) if not x.is_floating_point() else widen(logits, x)[:1]
    x = image(x, logits, uint8_range).to(logits.dtype)
    near, small, large = near_zero(logits, 1.0)
    positive = large >= 0
    magnitude = torch.where(positive, large, -large)
    weight = torch.where(positive, 1.0 - x, x)
    nothing = (weight == 0) & torch.isinf(magnitude)  # 0 * inf counts as 0
    linear = weight * torch.where(nothing, torch.zeros_like(magnitude), magnitude)
    limited = magnitude.clamp(max=torch.finfo(logits.dtype).max)
    held = torch.where(weight == 0, magnitude, limited)  # inf - inf is no limit
    far = held.log() - torch.log1p(-torch.exp(-magnitude)) - linear
    square = small * small
    centred = (x - 0.5) * torch.where(near, logits, 0.0) - square * power_series(square, _LOG_SINHC)
    return per_datapoint(torch.where(near, centred, far), batch_dims)
