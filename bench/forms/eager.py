"""The usual formulas."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from bench.families import Form

_LOG_2PI = math.log(2.0 * math.pi)


def sample(mu: Tensor, logvar: Tensor) -> Tensor:
    std = torch.exp(0.5 * logvar)
    return mu + torch.randn_like(std) * std


def total_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def bernoulli_loss(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    nll = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return (nll + total_kl(mu, logvar)) / len(x)


def total_gaussian_nll(mean: Tensor, x_logvar: Tensor, x: Tensor) -> Tensor:
    return 0.5 * torch.sum((x - mean).pow(2) / torch.exp(x_logvar) + x_logvar + _LOG_2PI)


def per_datapoint(elements: Tensor) -> Tensor:
    return elements.flatten(1).sum(1)


def _bernoulli_elbo(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    return sample(mu, logvar), bernoulli_loss(logits, x, mu, logvar)


def _gaussian_elbo(
    mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    nll = total_gaussian_nll(mean, x_logvar, x)
    return sample(mu, logvar), (nll + total_kl(mu, logvar)) / len(x)


def _bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    nll = functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return -per_datapoint(nll)


def _gaussian(mean: Tensor, x_logvar: Tensor, x: Tensor) -> Tensor:
    nll = (x - mean).pow(2) / torch.exp(x_logvar) + x_logvar + _LOG_2PI
    return -0.5 * per_datapoint(nll)


def _standard_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * per_datapoint(1 + logvar - mu.pow(2) - logvar.exp())


def _gaussian_kl(mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor) -> Tensor:
    ratio = (logvar.exp() + (mu - prior_mu).pow(2)) / prior_logvar.exp()
    return 0.5 * per_datapoint(prior_logvar - logvar + ratio - 1)


def _sample_with_standard_kl(mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    return sample(mu, logvar), _standard_kl(mu, logvar)


def _sample_with_gaussian_kl(
    mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor
) -> tuple[Tensor, Tensor]:
    return sample(mu, logvar), _gaussian_kl(mu, logvar, prior_mu, prior_logvar)


FORMS: dict[str, Form] = {
    "bernoulli_elbo": _bernoulli_elbo,
    "gaussian_elbo": _gaussian_elbo,
    "elbo_loss": bernoulli_loss,
    "bernoulli_log_likelihood": _bernoulli,
    "gaussian_log_likelihood": _gaussian,
    "standard_kl": _standard_kl,
    "gaussian_kl": _gaussian_kl,
    "reparameterize": sample,
    "sample_with_standard_kl": _sample_with_standard_kl,
    "sample_with_gaussian_kl": _sample_with_gaussian_kl,
}
