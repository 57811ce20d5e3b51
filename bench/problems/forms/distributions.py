"""torch.distributions, without its checks of the values."""

from __future__ import annotations

from operations.description import Form
from operations.every import DESCRIPTIONS
from operations.forms import independent, normal, standard_normal
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, kl_divergence

from bench.problems.forms.dreamer import loss_of_distributions


def _elbo(likelihood: Distribution, x: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    q = normal(mu, logvar)
    kl = kl_divergence(q, standard_normal(mu))
    return q.rsample(), (kl - likelihood.log_prob(x)).mean()


def _bernoulli_elbo(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    likelihood = independent(Bernoulli(logits=logits, validate_args=False), logits)
    return _elbo(likelihood, x, mu, logvar)


def _gaussian_elbo(
    mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    return _elbo(normal(mean, x_logvar), x, mu, logvar)


FORMS: dict[str, Form] = {
    "bernoulli_elbo": _bernoulli_elbo,
    "gaussian_elbo": _gaussian_elbo,
    "dreamer_loss": loss_of_distributions,
    **{name: d.distributions for name, d in DESCRIPTIONS.items() if d.distributions is not None},
}
