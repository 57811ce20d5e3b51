"""Likelihoods p(x | decoder output) as modules: log-probability, mean and samples.

Anything with these three methods and an ``nn.Module`` base can stand in for them in
:class:`vaekern.VAE` and :func:`vaekern.elbo_loss`.
"""

from __future__ import annotations

from vaekern._modules.outputs import DecoderOutput as DecoderOutput
from vaekern.likelihoods._base import Likelihood
from vaekern.likelihoods._classes import CategoricalLikelihood, MultinomialLikelihood
from vaekern.likelihoods._continuous_bernoulli import ContinuousBernoulliLikelihood
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
from vaekern.likelihoods._named import likelihood_named as likelihood_named
from vaekern.likelihoods._named import shared_likelihood as shared_likelihood
from vaekern.likelihoods._optimal_gaussian import OptimalGaussianLikelihood
from vaekern.likelihoods._student_t import StudentTLikelihood

__all__ = [
    "BernoulliLikelihood",
    "CategoricalLikelihood",
    "ContinuousBernoulliLikelihood",
    "DiscretizedLogisticLikelihood",
    "GaussianLikelihood",
    "LaplaceLikelihood",
    "Likelihood",
    "LogisticMixtureLikelihood",
    "MultinomialLikelihood",
    "NegativeBinomialLikelihood",
    "OptimalGaussianLikelihood",
    "PoissonLikelihood",
    "StudentTLikelihood",
    "ZeroInflatedNegativeBinomialLikelihood",
]
