"""What is measured: computations with their inputs, results, right answers and memory traffic.

A family is a training step's loss, or one operation of the library by itself. Everything that
measures or checks follows from this table; a provider has a form for each family that it can do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from bench.problems import answers
from bench.problems.operands import (
    BERNOULLI,
    BERNOULLI_PROBS,
    CATEGORICAL,
    DISCRETIZED_LOGISTIC,
    GAUSSIAN,
    LAPLACE,
    MULTINOMIAL,
    NEGATIVE_BINOMIAL,
    POISSON,
    POSTERIOR,
    PRIOR,
    STUDENT_T,
    ZERO_INFLATED,
    Operand,
    Random,
    normal,
)

#: A provider's code for one family: operands -> its result, or results as a tuple.
Form = Callable[..., "Tensor | tuple[Tensor, ...]"]

#: How many tensors of each shape move through memory at least.
Streams = Mapping[str, int]


@dataclass(frozen=True)
class Family:
    """``operands`` in the order that forms take them. ``results`` in the order that they return
    them: "z", one number per element of the latent shape, then "per datapoint" or "mean".

    ``oracle`` is the result beside z. ``streams``, for "forward", "backward" and "both", are what
    must move if each tensor is read and written as rarely as can be: nothing is stored between
    forward and backward, and noise is made in the kernels.
    """

    name: str
    operands: tuple[Operand, ...]
    results: tuple[str, ...]
    oracle: Callable[..., Tensor] | None
    streams: Mapping[str, Streams]

    @property
    def is_op(self) -> bool:
        """An operation by itself rather than a loss around networks."""
        return "mean" not in self.results


def _apart(on: str, forward: int, backward: int) -> Mapping[str, Streams]:
    both = forward + backward
    return {"forward": {on: forward}, "backward": {on: backward}, "both": {on: both}}


# Likelihood: output, x -> gradient, all in one pass. Latent: mu, logvar -> z in the forward,
# mu, logvar, gz -> 2 gradients in the backward. The split between the two is a provider's choice.
_ELBO = {"both": {"data": 3, "latent": 8}}

_DATAPOINT, _SAMPLE, _SAMPLE_KL = ("per datapoint",), ("z",), ("z", "per datapoint")

FAMILIES = {
    family.name: family
    for family in (
        Family(
            "bernoulli_elbo", BERNOULLI + POSTERIOR, ("z", "mean"), answers.bernoulli_elbo, _ELBO
        ),
        Family("gaussian_elbo", GAUSSIAN + POSTERIOR, ("z", "mean"), answers.gaussian_elbo, _ELBO),
        Family(  # vaekern.elbo_loss, with the Bernoulli likelihood
            "elbo_loss",
            BERNOULLI + POSTERIOR,
            ("mean",),
            answers.bernoulli_elbo,
            {"both": {"data": 3, "latent": 4}},
        ),
        Family(  # a mixture's parameters, 10 for each component, in place of a latent variable
            "image_nll",
            (Operand("params", "latent", normal), Operand("x", "data", Random.levels)),
            ("mean",),
            answers.image_nll,
            {"both": {"data": 2, "latent": 3}},
        ),
        # The operations, by their names in vaekern's table.
        Family(
            "bernoulli_log_likelihood",
            BERNOULLI,
            _DATAPOINT,
            answers.bernoulli,
            _apart("data", 2, 3),
        ),
        Family(
            "bernoulli_probs_log_likelihood",
            BERNOULLI_PROBS,
            _DATAPOINT,
            answers.bernoulli_probs,
            _apart("data", 2, 3),
        ),
        Family(
            "continuous_bernoulli_log_likelihood",
            BERNOULLI,
            _DATAPOINT,
            answers.continuous_bernoulli,
            _apart("data", 2, 3),
        ),
        Family(
            "gaussian_log_likelihood", GAUSSIAN, _DATAPOINT, answers.gaussian, _apart("data", 2, 3)
        ),
        Family(
            "laplace_log_likelihood", LAPLACE, _DATAPOINT, answers.laplace, _apart("data", 2, 3)
        ),
        Family(
            "student_t_log_likelihood",
            STUDENT_T,
            _DATAPOINT,
            answers.student_t,
            _apart("data", 2, 3),
        ),
        Family(
            "discretized_logistic_log_likelihood",
            DISCRETIZED_LOGISTIC,
            _DATAPOINT,
            answers.discretized_logistic,
            _apart("data", 2, 3),
        ),
        Family(
            "categorical_log_likelihood",
            CATEGORICAL,
            _DATAPOINT,
            answers.categorical,
            _apart("data", 1, 2),
        ),
        Family(  # without the coefficient
            "multinomial_log_likelihood",
            MULTINOMIAL,
            _DATAPOINT,
            answers.multinomial,
            _apart("data", 2, 3),
        ),
        Family(
            "poisson_log_likelihood", POISSON, _DATAPOINT, answers.poisson, _apart("data", 2, 3)
        ),
        Family(
            "negative_binomial_log_likelihood",
            NEGATIVE_BINOMIAL,
            _DATAPOINT,
            answers.negative_binomial,
            _apart("data", 2, 3),
        ),
        Family(
            "zero_inflated_negative_binomial_log_likelihood",
            ZERO_INFLATED,
            _DATAPOINT,
            answers.zero_inflated,
            _apart("data", 2, 3),
        ),
        Family("standard_kl", POSTERIOR, _DATAPOINT, answers.standard_kl, _apart("latent", 2, 4)),
        Family(
            "gaussian_kl",
            POSTERIOR + PRIOR,
            _DATAPOINT,
            answers.gaussian_kl,
            _apart("latent", 4, 8),
        ),
        # The gradient of mu is that of z as it is.
        Family("reparameterize", POSTERIOR, _SAMPLE, None, _apart("latent", 3, 3)),
        Family(
            "sample_with_standard_kl",
            POSTERIOR,
            _SAMPLE_KL,
            answers.standard_kl,
            _apart("latent", 3, 5),
        ),
        Family(
            "sample_with_gaussian_kl",
            POSTERIOR + PRIOR,
            _SAMPLE_KL,
            answers.gaussian_kl,
            _apart("latent", 5, 9),
        ),
    )
}

OPS = tuple(name for name, family in FAMILIES.items() if family.is_op)
