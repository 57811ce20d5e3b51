"""The likelihoods that go by a name."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from vaekern._checks import SCALES
from vaekern.likelihoods._base import Likelihood
from vaekern.likelihoods._classes import CategoricalLikelihood, MultinomialLikelihood
from vaekern.likelihoods._continuous_bernoulli import ContinuousBernoulliLikelihood
from vaekern.likelihoods._counts import NegativeBinomialLikelihood, PoissonLikelihood
from vaekern.likelihoods._elementwise import (
    BernoulliLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
)

#: Likelihoods by name.
NAMED: dict[str, Callable[[], Likelihood]] = {
    "bernoulli": BernoulliLikelihood,
    "continuous_bernoulli": ContinuousBernoulliLikelihood,
    "gaussian": GaussianLikelihood,
    "laplace": LaplaceLikelihood,
    "categorical": CategoricalLikelihood,
    "multinomial": MultinomialLikelihood,
    "poisson": PoissonLikelihood,
    "negative_binomial": NegativeBinomialLikelihood,
}


def likelihood_named(likelihood: str | Likelihood, scale: str = "logvar") -> Likelihood:
    """The likelihood itself, or a new one of that name; ``scale`` is how that reads a deviation
    that the decoder emits."""
    if isinstance(likelihood, nn.Module):
        if not callable(getattr(likelihood, "log_prob", None)):
            raise TypeError(
                f"likelihood: expected a module with log_prob(decoder_output, x), got "
                f"{type(likelihood).__name__}, which has none"
            )
        return likelihood
    if not isinstance(likelihood, str) or likelihood not in NAMED:
        raise ValueError(
            f"likelihood: expected {', '.join(map(repr, NAMED))} or a module (no class) with "
            f"log_prob, got {likelihood!r}"
        )
    if likelihood == "gaussian" and scale != "logvar":
        return GaussianLikelihood(1.0 if scale == "std" else 0.0, scale=scale)
    return NAMED[likelihood]()


_SHARED = {(name, scale): likelihood_named(name, scale) for name in NAMED for scale in SCALES}


def shared_likelihood(likelihood: str | Likelihood, scale: str) -> Likelihood:
    """The same, with one module for all calls: for losses, which keep none."""
    if isinstance(likelihood, str) and (likelihood, scale) in _SHARED:
        return _SHARED[likelihood, scale]
    return likelihood_named(likelihood, scale)
