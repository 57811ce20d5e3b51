"""The table of operations. ``csrc/ops.h`` holds the same list for the kernels."""

from __future__ import annotations

import math

from vaekern._backends import plain
from vaekern._backends.fast import (
    COUNTS,
    FLOAT,
    LEVELS,
    NOISE,
    PROBABILITY,
    SHARE,
    SHARED,
    SPREAD,
    TARGET,
)
from vaekern._ops.base import DATAPOINT, ELEMENT
from vaekern._ops.elementwise import Op
from vaekern._ops.mixture import MixtureOp
from vaekern._ops.rows import CategoricalOp, MultinomialOp
from vaekern._ops.softmax import CategoricalKLOp, GumbelSoftmaxOp, SampleCategoricalOp

BERNOULLI = Op(
    plain.bernoulli_log_likelihood,
    inputs=("logits", "x"),
    takes=(FLOAT, PROBABILITY),
    results=(DATAPOINT,),
    scaled=False,
    uint8_range=None,
)
BERNOULLI_PROBS = Op(
    plain.bernoulli_probs_log_likelihood,
    inputs=("probs", "x"),
    takes=(FLOAT, PROBABILITY),
    results=(DATAPOINT,),
    scaled=False,
    uint8_range=None,
)
CONTINUOUS_BERNOULLI = Op(
    plain.continuous_bernoulli_log_likelihood,
    inputs=("logits", "x"),
    takes=(FLOAT, PROBABILITY),
    results=(DATAPOINT,),
    scaled=False,
    uint8_range=None,
)
GAUSSIAN = Op(
    plain.gaussian_log_likelihood,
    inputs=("mean", "logvar", "x"),
    takes=(FLOAT, SPREAD, TARGET),
    results=(DATAPOINT,),
    uint8_range=None,
)
LAPLACE = Op(
    plain.laplace_log_likelihood,
    inputs=("loc", "log_scale", "x"),
    takes=(FLOAT, SPREAD, TARGET),
    results=(DATAPOINT,),
    scaled=False,
    uint8_range=None,
)
ASYMMETRIC_LAPLACE = Op(
    plain.asymmetric_laplace_log_likelihood,
    inputs=("loc", "log_scale", "x"),
    takes=(FLOAT, SPREAD, TARGET, SHARE),
    results=(DATAPOINT,),
    scaled=False,
    uint8_range=None,
    numbers=("quantile",),
    # Each rounded once: 1 - quantile of a quantile in float32 would lose its digits.
    told=lambda quantile: (
        quantile,
        1.0 - quantile,
        math.log(quantile) + math.log1p(-quantile),
    ),
)
STUDENT_T = Op(
    plain.student_t_log_likelihood,
    inputs=("loc", "log_scale", "df", "x"),
    takes=(FLOAT, SPREAD, SPREAD, TARGET),
    results=(DATAPOINT,),
    scaled=False,
    uint8_range=None,
)
DISCRETIZED_LOGISTIC = Op(
    plain.discretized_logistic_log_likelihood,
    inputs=("loc", "log_scale", "x"),
    takes=(FLOAT, SPREAD, LEVELS),
    results=(DATAPOINT,),
    scaled=False,
    uint8_range="signed",
)
CATEGORICAL = CategoricalOp(
    plain.categorical_log_likelihood,
    inputs=("logits", "x"),
    results=(DATAPOINT,),
    scaled=False,
    kept=("log_sum_exp",),
)
MULTINOMIAL = MultinomialOp(
    plain.multinomial_log_likelihood,
    inputs=("logits", "counts"),
    results=(DATAPOINT,),
    scaled=False,
    kept=("log_sum_exp", "total"),
)
POISSON = Op(
    plain.poisson_log_likelihood,
    inputs=("log_rate", "x"),
    takes=(FLOAT, COUNTS),
    results=(DATAPOINT,),
    scaled=False,
    uint8_range="count",
)
NEGATIVE_BINOMIAL = Op(
    plain.negative_binomial_log_likelihood,
    inputs=("log_mean", "log_dispersion", "x"),
    takes=(FLOAT, SPREAD, COUNTS),
    results=(DATAPOINT,),
    scaled=False,
    uint8_range="count",
)
ZERO_INFLATED_NEGATIVE_BINOMIAL = Op(
    plain.zero_inflated_negative_binomial_log_likelihood,
    inputs=("log_mean", "log_dispersion", "zero_logits", "x"),
    takes=(FLOAT, SPREAD, SPREAD, COUNTS),
    results=(DATAPOINT,),
    scaled=False,
    uint8_range="count",
)
STANDARD_KL = Op(
    plain.standard_kl,
    inputs=("mu", "logvar"),
    takes=(FLOAT, FLOAT),
    results=(DATAPOINT,),
)
GAUSSIAN_KL = Op(
    plain.gaussian_kl,
    inputs=("mu", "logvar", "prior_mu", "prior_logvar"),
    takes=(FLOAT, FLOAT, SHARED, SHARED),
    results=(DATAPOINT,),
)
REPARAMETERIZE = Op(
    plain.reparameterize,
    inputs=("mu", "logvar", "noise"),
    takes=(FLOAT, FLOAT, NOISE),
    results=(ELEMENT,),
    vjp_inputs=(1, 2),  # the gradient of mu is that of z
)
SAMPLE_WITH_STANDARD_KL = Op(
    plain.sample_with_standard_kl,
    inputs=("mu", "logvar", "noise"),
    takes=(FLOAT, FLOAT, NOISE),
    results=(ELEMENT, DATAPOINT),
)
SAMPLE_WITH_GAUSSIAN_KL = Op(
    plain.sample_with_gaussian_kl,
    inputs=("mu", "logvar", "prior_mu", "prior_logvar", "noise"),
    takes=(FLOAT, FLOAT, SHARED, SHARED, NOISE),
    results=(ELEMENT, DATAPOINT),
)

LOGISTIC_MIXTURE = MixtureOp(
    plain.logistic_mixture_log_likelihood,
    inputs=("params", "x"),
    results=(DATAPOINT,),
    scaled=False,
    uint8_range="signed",
)

CATEGORICAL_KL = CategoricalKLOp(
    plain.categorical_kl,
    inputs=("logits", "prior_logits"),
    results=(DATAPOINT,),
    scaled=False,
    numbers=("unimix",),
)

SAMPLE_CATEGORICAL = SampleCategoricalOp(
    plain.sample_categorical,
    inputs=("logits", "noise"),
    results=(ELEMENT,),
    scaled=False,
    numbers=("unimix",),
    vjp_inputs=(0,),  # straight through the probabilities
)
GUMBEL_SOFTMAX = GumbelSoftmaxOp(
    plain.gumbel_softmax,
    inputs=("logits", "temperature", "noise"),
    results=(ELEMENT,),
    scaled=False,
    numbers=("hard",),
)

MIXTURES = (LOGISTIC_MIXTURE,)

#: Those of whole rows of logits.
SOFTMAXES = (CATEGORICAL_KL, SAMPLE_CATEGORICAL, GUMBEL_SOFTMAX)

#: Those whose kernels are in the list of csrc/ops.h.
OPS = (
    BERNOULLI,
    BERNOULLI_PROBS,
    CONTINUOUS_BERNOULLI,
    GAUSSIAN,
    LAPLACE,
    ASYMMETRIC_LAPLACE,
    STUDENT_T,
    DISCRETIZED_LOGISTIC,
    CATEGORICAL,
    MULTINOMIAL,
    POISSON,
    NEGATIVE_BINOMIAL,
    ZERO_INFLATED_NEGATIVE_BINOMIAL,
    STANDARD_KL,
    GAUSSIAN_KL,
    REPARAMETERIZE,
    SAMPLE_WITH_STANDARD_KL,
    SAMPLE_WITH_GAUSSIAN_KL,
)
