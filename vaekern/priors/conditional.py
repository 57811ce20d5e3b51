"""Priors p(z | condition): of hierarchies, and of models that are told a label or a context."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vaekern._checks import check_module, check_scale
from vaekern._modules.outputs import pair
from vaekern._ops.call import Clamp
from vaekern.posteriors.base import Posterior
from vaekern.posteriors.diagonal import DiagonalGaussian


class ConditionalPrior(nn.Module):
    """A distribution p(z | condition), the interface: a module that returns the distribution, as a
    :class:`vaekern.posteriors.Posterior`. ``vk.VAE(..., prior=...)`` takes any subclass and calls
    it with the model's ``condition``."""

    def forward(self, *condition: Tensor, batch_dims: int = 1) -> Posterior:
        """The distribution of z for each condition [*batch, ...]."""
        raise NotImplementedError

    def log_prob(self, z: Tensor, *condition: Tensor, batch_dims: int = 1) -> Tensor:
        """log p(z | condition) per datapoint, in nats."""
        log_prob: Tensor = self(*condition, batch_dims=batch_dims).log_prob(z)
        return log_prob

    @torch.no_grad()
    def sample(self, *condition: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One z for each condition. Carries no gradient."""
        z: Tensor = self(*condition).rsample(generator=generator)
        return z


class ConditionalGaussian(ConditionalPrior):
    """p(z | c) = N(mu, e^logvar) with (mu, logvar) = network(c): of a layer of a hierarchy given
    the one above it, or of a model given labels or contexts.

    Called with c it gives the distribution of z, a :class:`vaekern.posteriors.DiagonalGaussian`,
    to which ``q.kl(prior(c))`` is the KL divergence.

    Args:
        network: a module from c [*batch, ...] (one tensor or several) to the tuple (mu, logvar),
            both [*batch, *latent].
        scale: what its second output holds: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the log-variance.

    Raises:
        TypeError: ``network`` is no module, or returns something else.
        ValueError: ``scale`` is unknown.
    """

    def __init__(
        self, network: nn.Module, *, scale: str = "logvar", logvar_clamp: Clamp | None = None
    ) -> None:
        super().__init__()
        check_module("network", network, "from a condition to (mu, logvar)")
        check_scale(scale)
        self.network = network
        self.options: dict[str, Any] = {"scale": scale, "logvar_clamp": logvar_clamp}

    def forward(self, *condition: Tensor, batch_dims: int = 1) -> DiagonalGaussian:
        """The distribution of z for each condition."""
        mu, logvar = pair(self.network(*condition), "mu", self.options["scale"], of="network")
        return DiagonalGaussian(mu, logvar, **self.options, batch_dims=batch_dims)

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in self.options.items())
