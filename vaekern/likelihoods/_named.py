"""The likelihoods that go by a name."""

from __future__ import annotations

from torch import nn

from vaekern.likelihoods._base import Likelihood
from vaekern.likelihoods._classes import CategoricalLikelihood, MultinomialLikelihood
from vaekern.likelihoods._counts import NegativeBinomialLikelihood, PoissonLikelihood
from vaekern.likelihoods._elementwise import (
    BernoulliLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
)

#: Likelihoods by name. They have no state, so all losses and models share them.
_NAMED = {
    "bernoulli": BernoulliLikelihood(),
    "gaussian": GaussianLikelihood(),
    "laplace": LaplaceLikelihood(),
    "categorical": CategoricalLikelihood(),
    "multinomial": MultinomialLikelihood(),
    "poisson": PoissonLikelihood(),
    "negative_binomial": NegativeBinomialLikelihood(),
}


def likelihood_named(likelihood: str | Likelihood) -> Likelihood:
    """The likelihood itself, or the one of a name."""
    if isinstance(likelihood, nn.Module):
        return likelihood
    if likelihood in _NAMED:
        return _NAMED[likelihood]
    raise ValueError(
        f"likelihood: expected {', '.join(map(repr, _NAMED))} or a module with log_prob, "
        f"got {likelihood!r}"
    )
