"""What samples are made of. They are drawn in the dtype of the arithmetic, float32 at least, and
stored in that of the decoder's output: what is beyond its largest number becomes that."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._torch import standard_gamma

#: From this rate on, a Poisson count is as good as normal, and float32 holds every other one.
_HIGH_RATE = 2.0**24
#: Logarithms of dispersions beyond which nothing changes: 1 / theta is finite, theta^2 too.
_LOG_DISPERSIONS = (-700.0, 80.0)


def wide(tensor: Tensor) -> Tensor:
    """In the dtype of the arithmetic."""
    return tensor.to(accumulation_dtype((tensor,)))


def stored(sample: Tensor, dtype: torch.dtype) -> Tensor:
    """In another dtype, within its range."""
    most = torch.finfo(dtype).max
    return sample.clamp(-most, most).to(dtype)


def away_from(loc: Tensor, deviation: Tensor) -> Tensor:
    """loc + deviation, in the dtype of the arithmetic: an infinite location is where it is, however
    far the deviation reaches."""
    return torch.where(loc.isinf(), loc, loc + deviation)


def poisson_counts(rate: Tensor, generator: torch.Generator | None) -> Tensor:
    """Poisson counts of any rate. Torch's sampler goes through integers: higher rates get the
    deviation of a count of ``_HIGH_RATE``, in units of the standard deviation."""
    rate = rate.clamp(max=torch.finfo(rate.dtype).max)
    count = torch.poisson(rate.clamp(max=_HIGH_RATE), generator=generator)
    deviation = (count - _HIGH_RATE) * (rate / _HIGH_RATE).sqrt()
    return torch.where(rate > _HIGH_RATE, (rate + deviation).round(), count)


def negative_binomial_counts(
    log_mean: Tensor, log_dispersion: Tensor, generator: torch.Generator | None
) -> Tensor:
    """Poisson counts whose rates are Gamma variables of shape theta and mean e^log_mean, which for
    tiny theta are too small for any dtype: their logarithms are drawn, as those of a variable of
    shape theta + 1 times a uniform one to the power of 1 / theta (Marsaglia & Tsang 2000)."""
    log_theta = log_dispersion.double().clamp(*_LOG_DISPERSIONS)
    theta = log_theta.exp()
    log_gamma = standard_gamma(theta + 1.0, generator=generator).log()
    waiting = torch.empty_like(theta).exponential_(generator=generator)  # -log of the uniform one
    log_rate = log_mean.double() + (log_gamma - log_theta - waiting / theta)
    return poisson_counts(log_rate.exp(), generator)
