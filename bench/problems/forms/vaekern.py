"""vaekern's public functions."""

from __future__ import annotations

from operations.description import Form
from operations.every import DESCRIPTIONS
from torch import Tensor

import vaekern as vk
from bench.problems.families import call_of
from bench.problems.forms import dreamer
from vaekern.compat.dreamer import kl_loss


def bernoulli_loss(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    return vk.elbo_loss(logits, x, mu, logvar, likelihood="bernoulli")


def _bernoulli_elbo(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    return vk.reparameterize(mu, logvar), bernoulli_loss(logits, x, mu, logvar)


def _gaussian_elbo(
    mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    z = vk.reparameterize(mu, logvar)
    return z, vk.elbo_loss((mean, x_logvar), x, mu, logvar, likelihood="gaussian")


def _image_nll(params: Tensor, x: Tensor) -> Tensor:
    return -vk.logistic_mixture_log_likelihood(params, x).mean()


def _dreamer_loss(post: Tensor, prior: Tensor) -> Tensor:
    states, free = ({"logit": post}, {"logit": prior}), dreamer.FREE
    loss, *_ = kl_loss(
        *states, free, dreamer.DYNAMICS, dreamer.REPRESENTATION, unimix_ratio=dreamer.UNIMIX
    )
    return loss.mean()


FORMS: dict[str, Form] = {
    "bernoulli_elbo": _bernoulli_elbo,
    "gaussian_elbo": _gaussian_elbo,
    "elbo_loss": bernoulli_loss,
    "image_nll": _image_nll,
    "dreamer_loss": _dreamer_loss,
    **{name: call_of(d, getattr(vk, d.function)) for name, d in DESCRIPTIONS.items()},
}
