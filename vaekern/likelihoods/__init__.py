"""Likelihoods p(x | decoder output) as modules: log-probability, mean and samples.

Anything with these three methods and an ``nn.Module`` base can stand in for them in
:class:`vaekern.VAE` and :func:`vaekern.elbo_loss`.
"""

from __future__ import annotations

from torch import nn

from vaekern.likelihoods._base import DecoderOutput, Likelihood
from vaekern.likelihoods._classes import CategoricalLikelihood, MultinomialLikelihood
from vaekern.likelihoods._counts import (
    NegativeBinomialLikelihood,
    PoissonLikelihood,
    ZeroInflatedNegativeBinomialLikelihood,
)
from vaekern.likelihoods._elementwise import (
    BernoulliLikelihood,
    GaussianLikelihood,
    LaplaceLikelihood,
)
from vaekern.likelihoods._images import DiscretizedLogisticLikelihood, LogisticMixtureLikelihood
from vaekern.likelihoods._optimal_gaussian import OptimalGaussianLikelihood

__all__ = [
    "BernoulliLikelihood",
    "CategoricalLikelihood",
    "DecoderOutput",
    "DiscretizedLogisticLikelihood",
    "GaussianLikelihood",
    "LaplaceLikelihood",
    "Likelihood",
    "LogisticMixtureLikelihood",
    "MultinomialLikelihood",
    "NegativeBinomialLikelihood",
    "OptimalGaussianLikelihood",
    "PoissonLikelihood",
    "ZeroInflatedNegativeBinomialLikelihood",
    "likelihood_named",
]

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
