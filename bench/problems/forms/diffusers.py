"""The formulas of diffusers' DiagonalGaussianDistribution, and a loss as autoencoders for latent
diffusion have around it."""

from __future__ import annotations

import torch
from operations.description import Form
from operations.forms import per_datapoint
from torch import Tensor

from bench.problems.forms.eager import total_gaussian_nll


class _DiagonalGaussian:
    """As there, but for moments of any number of dimensions, and given apart: there they are the
    halves of one tensor."""

    def __init__(self, mean: Tensor, logvar: Tensor) -> None:
        self.mean = mean
        self.logvar = torch.clamp(logvar, -30.0, 20.0)
        self.std = torch.exp(0.5 * self.logvar)
        self.var = torch.exp(self.logvar)

    def sample(self) -> Tensor:
        return self.mean + self.std * torch.randn_like(self.mean)

    def kl(self, other: _DiagonalGaussian | None = None) -> Tensor:
        if other is None:
            terms = torch.pow(self.mean, 2) + self.var - 1.0 - self.logvar
        else:
            terms = (
                torch.pow(self.mean - other.mean, 2) / other.var
                + self.var / other.var
                - 1.0
                - self.logvar
                + other.logvar
            )
        return 0.5 * per_datapoint(terms)


def _gaussian_elbo(
    mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    posterior = _DiagonalGaussian(mu, logvar)
    kl = posterior.kl()
    nll = total_gaussian_nll(mean, x_logvar, x) / len(x)
    return posterior.sample(), nll + torch.sum(kl) / len(kl)


def _standard_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    return _DiagonalGaussian(mu, logvar).kl()


def _gaussian_kl(mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor) -> Tensor:
    return _DiagonalGaussian(mu, logvar).kl(_DiagonalGaussian(prior_mu, prior_logvar))


def _sample(mu: Tensor, logvar: Tensor) -> Tensor:
    return _DiagonalGaussian(mu, logvar).sample()


def _sample_with_standard_kl(mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    posterior = _DiagonalGaussian(mu, logvar)
    return posterior.sample(), posterior.kl()


def _sample_with_gaussian_kl(
    mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor
) -> tuple[Tensor, Tensor]:
    posterior = _DiagonalGaussian(mu, logvar)
    return posterior.sample(), posterior.kl(_DiagonalGaussian(prior_mu, prior_logvar))


FORMS: dict[str, Form] = {
    "gaussian_elbo": _gaussian_elbo,
    "standard_kl": _standard_kl,
    "gaussian_kl": _gaussian_kl,
    "reparameterize": _sample,
    "sample_with_standard_kl": _sample_with_standard_kl,
    "sample_with_gaussian_kl": _sample_with_gaussian_kl,
}
