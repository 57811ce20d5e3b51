"""Priors p(z), as modules: densities and samples.

Values are in nats, one per datapoint; the arithmetic is float32, float64 where a float64 tensor
takes part.
"""

from vaekern.posteriors.prior import Prior
from vaekern.priors.categorical import (
    ConditionalCategorical,
    LearnedCategorical,
    RelaxedCategorical,
    UniformCategorical,
)
from vaekern.priors.conditional import ConditionalGaussian, ConditionalPrior
from vaekern.priors.gaussian import LearnedGaussian, StandardNormal
from vaekern.priors.mixtures import MixtureOfGaussians, VampPrior
from vaekern.priors.product import Product
from vaekern.priors.sphere import UniformSphere

__all__ = [
    "ConditionalCategorical",
    "ConditionalGaussian",
    "ConditionalPrior",
    "LearnedCategorical",
    "LearnedGaussian",
    "MixtureOfGaussians",
    "Prior",
    "Product",
    "RelaxedCategorical",
    "StandardNormal",
    "UniformCategorical",
    "UniformSphere",
    "VampPrior",
]
