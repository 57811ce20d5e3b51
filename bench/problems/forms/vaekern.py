"""vaekern's public functions."""

from __future__ import annotations

from torch import Tensor

import vaekern as vk
from bench.problems.families import Form


def bernoulli_loss(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    return vk.elbo_loss(logits, x, mu, logvar, likelihood="bernoulli")


def _bernoulli_elbo(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    return vk.reparameterize(mu, logvar), bernoulli_loss(logits, x, mu, logvar)


def _gaussian_elbo(
    mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    z = vk.reparameterize(mu, logvar)
    return z, vk.elbo_loss((mean, x_logvar), x, mu, logvar, likelihood="gaussian")


def _gaussian(mean: Tensor, x_logvar: Tensor, x: Tensor) -> Tensor:
    return vk.gaussian_log_likelihood(mean, x, x_logvar)


def _laplace(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    return vk.laplace_log_likelihood(loc, x, log_scale)


def _student_t(loc: Tensor, log_scale: Tensor, df: Tensor, x: Tensor) -> Tensor:
    return vk.student_t_log_likelihood(loc, x, log_scale, df)


def _discretized_logistic(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    return vk.discretized_logistic_log_likelihood(loc, x, log_scale)


def _multinomial(logits: Tensor, x: Tensor) -> Tensor:
    return vk.multinomial_log_likelihood(logits, x, coefficient=False)


def _image_nll(params: Tensor, x: Tensor) -> Tensor:
    return -vk.logistic_mixture_log_likelihood(params, x).mean()


def _negative_binomial(log_mean: Tensor, log_dispersion: Tensor, x: Tensor) -> Tensor:
    return vk.negative_binomial_log_likelihood(log_mean, x, log_dispersion)


def _zero_inflated(
    log_mean: Tensor, log_dispersion: Tensor, zero_logits: Tensor, x: Tensor
) -> Tensor:
    return vk.zero_inflated_negative_binomial_log_likelihood(
        log_mean, x, log_dispersion, zero_logits
    )


FORMS: dict[str, Form] = {
    "bernoulli_elbo": _bernoulli_elbo,
    "gaussian_elbo": _gaussian_elbo,
    "elbo_loss": bernoulli_loss,
    "image_nll": _image_nll,
    "bernoulli_log_likelihood": vk.bernoulli_log_likelihood,
    "bernoulli_probs_log_likelihood": vk.bernoulli_probs_log_likelihood,
    "continuous_bernoulli_log_likelihood": vk.continuous_bernoulli_log_likelihood,
    "gaussian_log_likelihood": _gaussian,
    "laplace_log_likelihood": _laplace,
    "student_t_log_likelihood": _student_t,
    "discretized_logistic_log_likelihood": _discretized_logistic,
    "categorical_log_likelihood": vk.categorical_log_likelihood,
    "multinomial_log_likelihood": _multinomial,
    "poisson_log_likelihood": vk.poisson_log_likelihood,
    "negative_binomial_log_likelihood": _negative_binomial,
    "zero_inflated_negative_binomial_log_likelihood": _zero_inflated,
    "standard_kl": vk.gaussian_kl,
    "gaussian_kl": vk.gaussian_kl,
    "reparameterize": vk.reparameterize,
    "sample_with_standard_kl": vk.sample_with_kl,
    "sample_with_gaussian_kl": vk.sample_with_kl,
}
