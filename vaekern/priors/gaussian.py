"""Priors that are one Gaussian of independent elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vaekern._ops.call import Clamp
from vaekern.functional import gaussian_log_likelihood, reparameterize
from vaekern.posteriors._linear import standard_log_prob
from vaekern.posteriors.base import Diagonal, Prior
from vaekern.posteriors.diagonal import DiagonalGaussian
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
        mu, logvar: what the parameters begin with, everywhere.
    """

    def __init__(
        self, latent_shape: int | Sequence[int], mu: float = 0.0, logvar: float = 0.0
    ) -> None:
        super().__init__()
        shape = shape_of(latent_shape)
        self.mu = nn.Parameter(torch.full(shape, mu))
        self.logvar = nn.Parameter(torch.full(shape, logvar))

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


class ConditionalGaussian(nn.Module):
    """p(z1 | z2) = N(mu, e^logvar) with (mu, logvar) = network(z2), as hierarchies are made of.

    Called with z2 it gives the distribution of z1, a :class:`vaekern.posteriors.DiagonalGaussian`,
    to which ``q1.kl(prior(z2))`` is the KL divergence.

    Args:
        network: a module from z2 [*batch, ...] to the tuple (mu, logvar), both [*batch, *latent].
        scale: what its second output holds: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the log-variance.
    """

    def __init__(
        self, network: nn.Module, *, scale: str = "logvar", logvar_clamp: Clamp | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.options: dict[str, Any] = {"scale": scale, "logvar_clamp": logvar_clamp}

    def forward(self, condition: Tensor, *, batch_dims: int = 1) -> DiagonalGaussian:
        """The distribution of z1 for each z2."""
        return DiagonalGaussian(*self.network(condition), **self.options, batch_dims=batch_dims)

    def log_prob(self, z: Tensor, condition: Tensor, *, batch_dims: int = 1) -> Tensor:
        """log p(z1 | z2) per datapoint, in nats."""
        return self(condition, batch_dims=batch_dims).log_prob(z)

    @torch.no_grad()
    def sample(self, condition: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """One z1 for each z2. Carries no gradient."""
        return self(condition).rsample(generator=generator)
