"""Gaussians of independent elements."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import log_std, log_variance, per_datapoint, std
from vaekern._ops.call import Call, Clamp, clamp_logvar, run
from vaekern.functional.gaussian import (
    gaussian_log_likelihood,
    kl_call,
    reparameterize,
    sample_with_kl,
)
from vaekern.posteriors.base import AnyPrior, Posterior, diagonal_prior
from vaekern.posteriors.cholesky import positive
from vaekern.posteriors.prior import Diagonal

ENTROPY_OF_STANDARD = 0.5 * (1.0 + math.log(2.0 * math.pi))


class DiagonalGaussian(Posterior):
    """N(mu, e^logvar), its elements independent: the usual posterior.

    Args:
        mu: means [*batch, *latent]. Gets gradients.
        logvar: log-variances (see ``scale``), the shape of ``mu``. Gets gradients.
        scale: what ``logvar`` holds: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the log-variance, with gradient 0 outside and 1 on the edges, like
            ``torch.clamp``: (-30, 20) is what latent-diffusion and diffusers do.
        batch_dims: how many leading dimensions index datapoints.

    Errors are those of :func:`vaekern.reparameterize` and :func:`vaekern.gaussian_kl`.
    """

    def __init__(
        self,
        mu: Tensor,
        logvar: Tensor,
        *,
        scale: str = "logvar",
        logvar_clamp: Clamp | None = None,
        batch_dims: int = 1,
    ) -> None:
        super().__init__(batch_dims)
        self.mu = mu
        self.logvar = logvar
        self.scale = scale
        self.logvar_clamp = logvar_clamp

    @classmethod
    def softplus(
        cls, mu: Tensor, raw: Tensor, *, floor: float = 0.0, batch_dims: int = 1
    ) -> DiagonalGaussian:
        """With deviations log(1 + e^raw) + floor: see :func:`vaekern.posteriors.positive`."""
        return cls(mu, positive(raw, "softplus", floor), scale="std", batch_dims=batch_dims)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.mu, self.logvar

    @property
    def mean(self) -> Tensor:
        return self.mu

    mode = mean

    @property
    def stddev(self) -> Tensor:
        s = clamp_logvar(self.logvar, self.scale, self.logvar_clamp)
        return std(s.to(accumulation_dtype((s,))), self.scale)

    def rsample(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        z = reparameterize(self.mu, self.logvar, eps, seed, generator, **self._options())
        return z if z.dtype is self.mu.dtype else z.to(self.mu.dtype)

    def log_prob(self, z: Tensor) -> Tensor:
        return gaussian_log_likelihood(self.mu, z, self.logvar, **self._options())

    def entropy(self) -> Tensor:
        s = clamp_logvar(self.logvar, self.scale, self.logvar_clamp)
        elements = log_std(s.to(accumulation_dtype((s,))), self.scale) + ENTROPY_OF_STANDARD
        return per_datapoint(elements, self.batch_dims)

    def closed_form_kl(self, prior: AnyPrior) -> Tensor | None:
        call = self.kl_call(prior)
        return None if call is None else run(call)

    def kl_call(self, prior: AnyPrior) -> Call | None:
        to = diagonal_prior(prior)
        if to is None:
            return None
        return kl_call(self.mu, self.logvar, *self._in_own_scale(to), **self._options())

    def sample_with_kl(
        self,
        prior: AnyPrior = None,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        to = diagonal_prior(prior)
        if to is None:
            return super().sample_with_kl(prior, eps, seed, generator)
        z, kl = sample_with_kl(
            self.mu,
            self.logvar,
            *self._in_own_scale(to),
            eps=eps,
            seed=seed,
            generator=generator,
            **self._options(),
        )
        return z.to(self.mu.dtype), kl

    def diagonal(self) -> Diagonal:
        return Diagonal(
            self.mu, clamp_logvar(self.logvar, self.scale, self.logvar_clamp), self.scale
        )

    def map(self, function: Callable[[Tensor], Tensor], added_dims: int = 0) -> DiagonalGaussian:
        options = self._options()
        options["batch_dims"] += added_dims
        return DiagonalGaussian(function(self.mu), function(self.logvar), **options)

    def _options(self) -> dict[str, Any]:
        return {
            "scale": self.scale,
            "logvar_clamp": self.logvar_clamp,
            "batch_dims": self.batch_dims,
        }

    def _in_own_scale(self, prior: Diagonal) -> tuple[Tensor | None, Tensor | None]:
        """The prior's parameters, as the kernel reads them beside its own."""
        if prior.logvar is None or prior.scale == self.scale:
            return prior.mu, prior.logvar
        return prior.mu, in_scale(self.scale, prior.logvar, prior.scale)


def in_scale(wanted: str, s: Tensor, scale: str) -> Tensor:
    """A deviation given in one ``scale``, in another one."""
    if scale == wanted:
        return s
    convert = {"logvar": log_variance, "log_std": log_std, "std": std}[wanted]
    return convert(s.to(accumulation_dtype((s,))), scale)
