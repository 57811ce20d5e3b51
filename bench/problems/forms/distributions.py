"""torch.distributions, without its checks of the values."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Distribution,
    Independent,
    Laplace,
    Normal,
    StudentT,
    kl_divergence,
)

from bench.problems.families import Form


def _per_datapoint(distribution: Distribution, like: Tensor) -> Distribution:
    return Independent(distribution, like.dim() - 1, validate_args=False)


def _normal(mu: Tensor, logvar: Tensor) -> Distribution:
    return _per_datapoint(Normal(mu, torch.exp(0.5 * logvar), validate_args=False), mu)


def _standard_normal(like: Tensor) -> Distribution:
    prior = Normal(torch.zeros_like(like), torch.ones_like(like), validate_args=False)
    return _per_datapoint(prior, like)


def _elbo(likelihood: Distribution, x: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    q = _normal(mu, logvar)
    kl = kl_divergence(q, _standard_normal(mu))
    return q.rsample(), (kl - likelihood.log_prob(x)).mean()


def _bernoulli_likelihood(logits: Tensor) -> Distribution:
    return _per_datapoint(Bernoulli(logits=logits, validate_args=False), logits)


def _bernoulli_elbo(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    return _elbo(_bernoulli_likelihood(logits), x, mu, logvar)


def _gaussian_elbo(
    mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor
) -> tuple[Tensor, Tensor]:
    return _elbo(_normal(mean, x_logvar), x, mu, logvar)


def _bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    return _bernoulli_likelihood(logits).log_prob(x)


def _bernoulli_probs(probs: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(Bernoulli(probs, validate_args=False), probs).log_prob(x)


def _continuous_bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    distribution = ContinuousBernoulli(logits=logits, validate_args=False)
    return _per_datapoint(distribution, logits).log_prob(x)


def _gaussian(mean: Tensor, x_logvar: Tensor, x: Tensor) -> Tensor:
    return _normal(mean, x_logvar).log_prob(x)


def _laplace(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    distribution = Laplace(loc, torch.exp(log_scale), validate_args=False)
    return _per_datapoint(distribution, loc).log_prob(x)


def _student_t(loc: Tensor, log_scale: Tensor, df: Tensor, x: Tensor) -> Tensor:
    distribution = StudentT(df, loc, torch.exp(log_scale), validate_args=False)
    return _per_datapoint(distribution, loc).log_prob(x)


def _categorical(logits: Tensor, x: Tensor) -> Tensor:
    return Categorical(logits=logits, validate_args=False).log_prob(x)


def _standard_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    return kl_divergence(_normal(mu, logvar), _standard_normal(mu))


def _gaussian_kl(mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor) -> Tensor:
    return kl_divergence(_normal(mu, logvar), _normal(prior_mu, prior_logvar))


# The first call for a pair of classes searches the registered functions, which the compiler cannot
# trace, and remembers what it found.
_standard_kl(torch.zeros(1, 1), torch.zeros(1, 1))


def _sample(mu: Tensor, logvar: Tensor) -> Tensor:
    return _normal(mu, logvar).rsample()


def _sample_with_standard_kl(mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    q = _normal(mu, logvar)
    return q.rsample(), kl_divergence(q, _standard_normal(mu))


def _sample_with_gaussian_kl(
    mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor
) -> tuple[Tensor, Tensor]:
    q = _normal(mu, logvar)
    return q.rsample(), kl_divergence(q, _normal(prior_mu, prior_logvar))


FORMS: dict[str, Form] = {
    "bernoulli_elbo": _bernoulli_elbo,
    "gaussian_elbo": _gaussian_elbo,
    "bernoulli_log_likelihood": _bernoulli,
    "bernoulli_probs_log_likelihood": _bernoulli_probs,
    "continuous_bernoulli_log_likelihood": _continuous_bernoulli,
    "gaussian_log_likelihood": _gaussian,
    "laplace_log_likelihood": _laplace,
    "student_t_log_likelihood": _student_t,
    "categorical_log_likelihood": _categorical,
    "standard_kl": _standard_kl,
    "gaussian_kl": _gaussian_kl,
    "reparameterize": _sample,
    "sample_with_standard_kl": _sample_with_standard_kl,
    "sample_with_gaussian_kl": _sample_with_gaussian_kl,
}
