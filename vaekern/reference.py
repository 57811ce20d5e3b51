"""The public functions on plain torch, on any device: the oracle of the tests."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from vaekern import _logistic_likelihoods, elbo, functional, linear_likelihoods
from vaekern._backend import backend
from vaekern.posteriors import tril

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _plain(function: Callable[_P, _R]) -> Callable[_P, _R]:
    @functools.wraps(function)
    def on_reference(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with backend("reference"):
            return function(*args, **kwargs)

    return on_reference


reparameterize = _plain(functional.reparameterize)
gaussian_kl = _plain(functional.gaussian_kl)
sample_with_kl = _plain(functional.sample_with_kl)
bernoulli_log_likelihood = _plain(functional.bernoulli_log_likelihood)
categorical_log_likelihood = _plain(functional.categorical_log_likelihood)
bernoulli_probs_log_likelihood = _plain(functional.bernoulli_probs_log_likelihood)
continuous_bernoulli_log_likelihood = _plain(functional.continuous_bernoulli_log_likelihood)
gaussian_log_likelihood = _plain(functional.gaussian_log_likelihood)
laplace_log_likelihood = _plain(functional.laplace_log_likelihood)
discretized_logistic_log_likelihood = _plain(functional.discretized_logistic_log_likelihood)
multinomial_log_likelihood = _plain(functional.multinomial_log_likelihood)
logistic_mixture_log_likelihood = _plain(_logistic_likelihoods.logistic_mixture_log_likelihood)
student_t_log_likelihood = _plain(functional.student_t_log_likelihood)
linear_bernoulli_log_likelihood = _plain(linear_likelihoods.linear_bernoulli_log_likelihood)
linear_gaussian_log_likelihood = _plain(linear_likelihoods.linear_gaussian_log_likelihood)
linear_categorical_log_likelihood = _plain(linear_likelihoods.linear_categorical_log_likelihood)
gaussian_kl_tril = _plain(tril.gaussian_kl_tril)
sample_tril = _plain(tril.sample_tril)
poisson_log_likelihood = _plain(functional.poisson_log_likelihood)
negative_binomial_log_likelihood = _plain(functional.negative_binomial_log_likelihood)
zero_inflated_negative_binomial_log_likelihood = _plain(
    functional.zero_inflated_negative_binomial_log_likelihood
)
elbo_loss = _plain(elbo.elbo_loss)
