"""The usual formulas."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from bench.problems.families import Form
from bench.problems.forms.pixelcnn import precise_image_nll

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


def _bernoulli_probs(probs: Tensor, x: Tensor) -> Tensor:
    return per_datapoint(x * torch.log(probs) + (1 - x) * torch.log(1 - probs))


def _continuous_bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    nearby = logits.abs() < 0.1
    safe = torch.where(nearby, 1.0, logits)
    near = 0.5 * logits + logits.pow(2) / 24
    return per_datapoint(x * logits - torch.where(nearby, near, torch.log(safe.expm1() / safe)))


def _gaussian(mean: Tensor, x_logvar: Tensor, x: Tensor) -> Tensor:
    nll = (x - mean).pow(2) / torch.exp(x_logvar) + x_logvar + _LOG_2PI
    return -0.5 * per_datapoint(nll)


def _laplace(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    return per_datapoint(-(x - loc).abs() * torch.exp(-log_scale) - log_scale - math.log(2.0))


def _student_t(loc: Tensor, log_scale: Tensor, df: Tensor, x: Tensor) -> Tensor:
    u = (x - loc) * torch.exp(-log_scale)
    normaliser = (
        torch.lgamma(0.5 * (df + 1)) - torch.lgamma(0.5 * df) - 0.5 * torch.log(math.pi * df)
    )
    return per_datapoint(normaliser - log_scale - 0.5 * (df + 1) * torch.log1p(u.pow(2) / df))


def _discretized_logistic(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    inverse = torch.exp(-log_scale)
    below = functional.logsigmoid((x - loc + 1 / 255) * inverse)
    above = functional.logsigmoid((loc - x + 1 / 255) * inverse)
    inside = below + above + torch.log(-torch.expm1(-2 / 255 * inverse))
    return per_datapoint(torch.where(x < -0.999, below, torch.where(x > 0.999, above, inside)))


def _categorical(logits: Tensor, x: Tensor) -> Tensor:
    log_p = functional.log_softmax(logits, -1)
    return per_datapoint(log_p.gather(-1, x.unsqueeze(-1)))


def _multinomial(logits: Tensor, x: Tensor) -> Tensor:
    return per_datapoint(x * functional.log_softmax(logits, -1))


def _poisson(log_rate: Tensor, x: Tensor) -> Tensor:
    nll = functional.poisson_nll_loss(log_rate, x, log_input=True, reduction="none")
    return -per_datapoint(nll + torch.lgamma(x + 1))


def _negative_binomial_elements(log_mean: Tensor, log_dispersion: Tensor, x: Tensor) -> Tensor:
    theta, mu = log_dispersion.exp(), log_mean.exp()
    log_both = torch.log(theta + mu)
    exponents = theta * (log_dispersion - log_both) + x * (log_mean - log_both)
    return exponents + torch.lgamma(x + theta) - torch.lgamma(theta) - torch.lgamma(x + 1)


def _negative_binomial(log_mean: Tensor, log_dispersion: Tensor, x: Tensor) -> Tensor:
    return per_datapoint(_negative_binomial_elements(log_mean, log_dispersion, x))


def _zero_inflated(
    log_mean: Tensor, log_dispersion: Tensor, zero_logits: Tensor, x: Tensor
) -> Tensor:
    count = _negative_binomial_elements(log_mean, log_dispersion, x)
    added = functional.softplus(count - zero_logits) - functional.softplus(-zero_logits)
    return per_datapoint(torch.where(x == 0, added, count - functional.softplus(zero_logits)))


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
    "image_nll": precise_image_nll,
    "bernoulli_log_likelihood": _bernoulli,
    "bernoulli_probs_log_likelihood": _bernoulli_probs,
    "continuous_bernoulli_log_likelihood": _continuous_bernoulli,
    "gaussian_log_likelihood": _gaussian,
    "laplace_log_likelihood": _laplace,
    "student_t_log_likelihood": _student_t,
    "discretized_logistic_log_likelihood": _discretized_logistic,
    "categorical_log_likelihood": _categorical,
    "multinomial_log_likelihood": _multinomial,
    "poisson_log_likelihood": _poisson,
    "negative_binomial_log_likelihood": _negative_binomial,
    "zero_inflated_negative_binomial_log_likelihood": _zero_inflated,
    "standard_kl": _standard_kl,
    "gaussian_kl": _gaussian_kl,
    "reparameterize": sample,
    "sample_with_standard_kl": _sample_with_standard_kl,
    "sample_with_gaussian_kl": _sample_with_gaussian_kl,
}
