"""The usual formulas."""

from __future__ import annotations

import math

import torch
from operations.description import Form
from operations.every import DESCRIPTIONS
from operations.forms import sample
from torch import Tensor
from torch.nn import functional

from bench.problems.forms.dreamer import eager_loss
from bench.problems.forms.pixelcnn import precise_image_nll

_LOG_2PI = math.log(2.0 * math.pi)


def total_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def bernoulli_loss(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    nll = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    return (nll + total_kl(mu, logvar)) / len(x)


def total_gaussian_nll(mean: Tensor, x_logvar: Tensor, x: Tensor) -> Tensor:
    return 0.5 * torch.sum((x - mean).pow(2) / torch.exp(x_logvar) + x_logvar + _LOG_2PI)


def _bernoulli_elbo(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    return sample(mu, logvar), bernoulli_loss(logits, x, mu, logvar)


def _gaussian_elbo(
    mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    nll = total_gaussian_nll(mean, x_logvar, x)
    return sample(mu, logvar), (nll + total_kl(mu, logvar)) / len(x)


FORMS: dict[str, Form] = {
    "bernoulli_elbo": _bernoulli_elbo,
    "gaussian_elbo": _gaussian_elbo,
    "elbo_loss": bernoulli_loss,
    "image_nll": precise_image_nll,
    "dreamer_loss": eager_loss,
    **{name: description.eager for name, description in DESCRIPTIONS.items()},
}
