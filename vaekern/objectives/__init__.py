"""Objectives beyond the ELBO of one sample: bounds, gradient estimators and other regularisers.

Values are in nats, one per datapoint; the arithmetic is float32, float64 where a float64 tensor
takes part. Bounds are to be maximised: a loss is minus their mean.
"""

from vaekern.objectives.bounds import importance_weighted_bound, renyi_bound
from vaekern.objectives.categorical import balanced_categorical_kl, free_bits_categorical_kl
from vaekern.objectives.discrepancy import mmd
from vaekern.objectives.divergences import balanced_kl, free_bits_kl
from vaekern.objectives.estimators import (
    log_weights,
    posterior_log_weights,
    standard_normal_log_density,
)
from vaekern.objectives.of_models import importance_weighted, model_log_weights, monte_carlo_elbo
from vaekern.objectives.total_correlation import KLDecomposition, decomposed_kl
from vaekern.objectives.warmup import KLWarmup

__all__ = [
    "KLDecomposition",
    "KLWarmup",
    "balanced_categorical_kl",
    "balanced_kl",
    "decomposed_kl",
    "free_bits_categorical_kl",
    "free_bits_kl",
    "importance_weighted",
    "importance_weighted_bound",
    "log_weights",
    "mmd",
    "model_log_weights",
    "monte_carlo_elbo",
    "posterior_log_weights",
    "renyi_bound",
    "standard_normal_log_density",
]
