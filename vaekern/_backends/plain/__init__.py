"""The operations in plain torch, one function per row of the table in ``_ops/table.py``.

This is the oracle of every test, the fallback where nothing is compiled, and what second
derivatives are taken of. It is written for clarity and for the same limits as the kernels:
cancellation-free near 0, infinities give the limit, NaN propagates, half precision is computed in
float32. Tensors broadcast to the first one's shape from the right; results are per element or,
summed over all but the leading ``batch_dims`` dimensions, per datapoint.
"""

from __future__ import annotations

from vaekern._backends.plain.bernoulli import (
    bernoulli_log_likelihood,
    bernoulli_probs_log_likelihood,
    continuous_bernoulli_log_likelihood,
)
from vaekern._backends.plain.classes import categorical_log_likelihood, multinomial_log_likelihood
from vaekern._backends.plain.counts import (
    negative_binomial_log_likelihood,
    poisson_log_likelihood,
    zero_inflated_negative_binomial_log_likelihood,
)
from vaekern._backends.plain.elements import (
    below_top,
    image,
    log_sum_exp,
    per_datapoint,
    widen,
    within,
    within_rows,
)
from vaekern._backends.plain.locations import (
    discretized_logistic,
    discretized_logistic_log_likelihood,
    gaussian_log_likelihood,
    laplace_log_likelihood,
    student_t_log_likelihood,
)
from vaekern._backends.plain.mixtures import (
    LEAST_LOG_SCALE,
    PLANES,
    conditional_means,
    logistic_mixture_log_likelihood,
)
from vaekern._backends.plain.noise import normal, philox
from vaekern._backends.plain.posteriors import (
    gaussian_kl,
    reparameterize,
    sample_with_gaussian_kl,
    sample_with_standard_kl,
    standard_kl,
)
from vaekern._backends.plain.scales import deviations, inverse_std, log_std, log_variance, std

__all__ = [
    "LEAST_LOG_SCALE",
    "PLANES",
    "below_top",
    "bernoulli_log_likelihood",
    "bernoulli_probs_log_likelihood",
    "categorical_log_likelihood",
    "conditional_means",
    "continuous_bernoulli_log_likelihood",
    "deviations",
    "discretized_logistic",
    "discretized_logistic_log_likelihood",
    "gaussian_kl",
    "gaussian_log_likelihood",
    "image",
    "inverse_std",
    "laplace_log_likelihood",
    "log_std",
    "log_sum_exp",
    "log_variance",
    "logistic_mixture_log_likelihood",
    "multinomial_log_likelihood",
    "negative_binomial_log_likelihood",
    "normal",
    "per_datapoint",
    "philox",
    "poisson_log_likelihood",
    "reparameterize",
    "sample_with_gaussian_kl",
    "sample_with_standard_kl",
    "standard_kl",
    "std",
    "student_t_log_likelihood",
    "widen",
    "within",
    "within_rows",
    "zero_inflated_negative_binomial_log_likelihood",
]
