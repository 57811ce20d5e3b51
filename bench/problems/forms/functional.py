"""The losses of torch.nn.functional: pytorch/examples takes the cross-entropy of a sigmoid."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bench.problems.families import Form
from bench.problems.forms.eager import per_datapoint, sample, total_kl


def bernoulli_loss(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    nll = functional.binary_cross_entropy(torch.sigmoid(logits), x, reduction="sum")
    return (nll + total_kl(mu, logvar)) / len(x)


def _gaussian_nll(mean: Tensor, x_logvar: Tensor, x: Tensor, reduction: str) -> Tensor:
    variance = torch.exp(x_logvar).expand_as(mean)
    return functional.gaussian_nll_loss(mean, x, variance, full=True, reduction=reduction)


def _bernoulli_elbo(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    return sample(mu, logvar), bernoulli_loss(logits, x, mu, logvar)


def _gaussian_elbo(
    mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    nll = _gaussian_nll(mean, x_logvar, x, "sum")
    return sample(mu, logvar), (nll + total_kl(mu, logvar)) / len(x)


def _bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    nll = functional.binary_cross_entropy(torch.sigmoid(logits), x, reduction="none")
    return -per_datapoint(nll)


def _bernoulli_probs(probs: Tensor, x: Tensor) -> Tensor:
    return -per_datapoint(functional.binary_cross_entropy(probs, x, reduction="none"))


def _gaussian(mean: Tensor, x_logvar: Tensor, x: Tensor) -> Tensor:
    return -per_datapoint(_gaussian_nll(mean, x_logvar, x, "none"))


def _categorical(logits: Tensor, x: Tensor) -> Tensor:
    return -functional.cross_entropy(logits, x, reduction="none")


FORMS: dict[str, Form] = {
    "bernoulli_elbo": _bernoulli_elbo,
    "gaussian_elbo": _gaussian_elbo,
    "elbo_loss": bernoulli_loss,
    "bernoulli_log_likelihood": _bernoulli,
    "bernoulli_probs_log_likelihood": _bernoulli_probs,
    "gaussian_log_likelihood": _gaussian,
    "categorical_log_likelihood": _categorical,
}
