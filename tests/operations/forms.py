"""What several operations' forms are made of."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal


def per_datapoint(elements: Tensor) -> Tensor:
    return elements.flatten(1).sum(1)


def independent(distribution: Distribution, like: Tensor) -> Distribution:
    """One value per datapoint, without checks of the values."""
    return Independent(distribution, like.dim() - 1, validate_args=False)


def normal(mu: Tensor, logvar: Tensor) -> Distribution:
    return independent(Normal(mu, torch.exp(0.5 * logvar), validate_args=False), mu)


def standard_normal(like: Tensor) -> Distribution:
    prior = Normal(torch.zeros_like(like), torch.ones_like(like), validate_args=False)
    return independent(prior, like)


def sample(mu: Tensor, logvar: Tensor) -> Tensor:
    std = torch.exp(0.5 * logvar)
    return mu + torch.randn_like(std) * std
