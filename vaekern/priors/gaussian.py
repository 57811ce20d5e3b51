"""Priors that are one Gaussian of independent elements."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vaekern._checks import check_number
from vaekern.functional import gaussian_log_likelihood, reparameterize
from vaekern.posteriors._linear import standard_log_prob
from vaekern.posteriors.prior import Diagonal, Prior
from vaekern.priors.base import check_latent, check_samples, shape_of


class StandardNormal(Prior):
    """N(0, I).

    Args:
        latent_shape: the shape of one z.
    """

    zero: Tensor

    def __init__(self, latent_shape: int | Sequence[int]) -> None:
        super().__init__()
        self.latent_shape = shape_of(latent_shape)
        self.register_buffer("zero", torch.zeros(()), persistent=False)  # knows device and dtype

    def log_prob(self, z: Tensor, *, batch_dims: int = 1) -> Tensor:
        check_latent(z, self.latent_shape, batch_dims)
        return standard_log_prob(z, batch_dims=batch_dims)

    def sample(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        check_samples(num_samples)
        nothing = self.zero.expand(num_samples, *self.latent_shape)
        return reparameterize(nothing, nothing, generator=generator)

    def diagonal(self) -> Diagonal:
        return Diagonal(None, None)


class LearnedGaussian(Prior):
    """N(mu, e^logvar) with learned parameters, shared by all datapoints.

    Args:
        latent_shape: the shape of one z.
        mu, logvar: the numbers that the parameters begin with, everywhere.

    Raises:
        TypeError: one of them is no number.
    """

    def __init__(
        self, latent_shape: int | Sequence[int], mu: float = 0.0, logvar: float = 0.0
    ) -> None:
        super().__init__()
        self.latent_shape = shape = shape_of(latent_shape)
        self.mu = nn.Parameter(torch.full(shape, check_number("mu", mu)))
        self.logvar = nn.Parameter(torch.full(shape, check_number("logvar", logvar)))

    def log_prob(self, z: Tensor, *, batch_dims: int = 1) -> Tensor:
        check_latent(z, self.mu.shape, batch_dims)
        mu = self.mu.expand(z.shape)
        return gaussian_log_likelihood(mu, z, self.logvar, batch_dims=batch_dims)

    @torch.no_grad()
    def sample(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        check_samples(num_samples)
        mu, logvar = (t.expand(num_samples, *t.shape) for t in (self.mu, self.logvar))
        return reparameterize(mu, logvar, generator=generator)

    def diagonal(self) -> Diagonal:
        return Diagonal(self.mu, self.logvar)
