"""The losses of torch.nn.functional: pytorch/examples takes the cross-entropy of a sigmoid."""

from __future__ import annotations

import torch
from operations.description import Form
from operations.every import DESCRIPTIONS
from operations.forms import sample
from torch import Tensor
from torch.nn import functional

from bench.problems.forms.eager import total_kl


def bernoulli_loss(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    nll = functional.binary_cross_entropy(torch.sigmoid(logits), x, reduction="sum")
    return (nll + total_kl(mu, logvar)) / len(x)


def _gaussian_nll(mean: Tensor, x_logvar: Tensor, x: Tensor) -> Tensor:
    variance = torch.exp(x_logvar).expand_as(mean)
    return functional.gaussian_nll_loss(mean, x, variance, full=True, reduction="sum")


def _bernoulli_elbo(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    return sample(mu, logvar), bernoulli_loss(logits, x, mu, logvar)


def _gaussian_elbo(
    mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    nll = _gaussian_nll(mean, x_logvar, x)
    return sample(mu, logvar), (nll + total_kl(mu, logvar)) / len(x)


FORMS: dict[str, Form] = {
    "bernoulli_elbo": _bernoulli_elbo,
    "gaussian_elbo": _gaussian_elbo,
    "elbo_loss": bernoulli_loss,
    **{name: d.functional for name, d in DESCRIPTIONS.items() if d.functional is not None},
}
