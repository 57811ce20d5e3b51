"""Posteriors q(z | x): Gaussians of every shape, flows, classes, directions, products of them, and
classes of ``torch.distributions``.

Values are in nats, one per datapoint; the arithmetic is float32, float64 where a float64 tensor
takes part, and samples have the dtype of the means.
"""

from vaekern.posteriors.base import Posterior
from vaekern.posteriors.categorical import Categorical
from vaekern.posteriors.cholesky import positive, tril_from_matrix, tril_from_packed
from vaekern.posteriors.diagonal import DiagonalGaussian
from vaekern.posteriors.flows import AffineAutoregressive, Flow, Planar
from vaekern.posteriors.full import FullGaussian
from vaekern.posteriors.low_rank import LowRankGaussian
from vaekern.posteriors.normal import Normal
from vaekern.posteriors.one_hot import OneHotCategorical, OneHotCategoricalStraightThrough
from vaekern.posteriors.prior import Categories, Diagonal
from vaekern.posteriors.product import Product
from vaekern.posteriors.relaxed import RelaxedCategorical
from vaekern.posteriors.transformed import Transformed
from vaekern.posteriors.von_mises_fisher import VonMisesFisher

__all__ = [
    "AffineAutoregressive",
    "Categorical",
    "Categories",
    "Diagonal",
    "DiagonalGaussian",
    "Flow",
    "FullGaussian",
    "LowRankGaussian",
    "Normal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Planar",
    "Posterior",
    "Product",
    "RelaxedCategorical",
    "Transformed",
    "VonMisesFisher",
    "positive",
    "tril_from_matrix",
    "tril_from_packed",
]
