"""The list of operations, that of ``csrc/ops.h``."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple

from vaekern._backends.triton.math.bernoulli import (
    bernoulli_log_likelihood,
    bernoulli_log_likelihood_vjp,
)
from vaekern._backends.triton.math.bernoulli_probs import (
    bernoulli_probs_log_likelihood,
    bernoulli_probs_log_likelihood_vjp,
)
from vaekern._backends.triton.math.categorical import (
    categorical_log_likelihood,
    categorical_log_likelihood_vjp,
    multinomial_log_likelihood,
    multinomial_log_likelihood_vjp,
)
from vaekern._backends.triton.math.continuous_bernoulli import (
    continuous_bernoulli_log_likelihood,
    continuous_bernoulli_log_likelihood_vjp,
)
from vaekern._backends.triton.math.discretized_logistic import (
    discretized_logistic_log_likelihood,
    discretized_logistic_log_likelihood_vjp,
)
from vaekern._backends.triton.math.gaussian import (
    gaussian_log_likelihood,
    gaussian_log_likelihood_vjp,
)
from vaekern._backends.triton.math.gaussian_kl import (
    gaussian_kl,
    gaussian_kl_vjp,
    standard_kl,
    standard_kl_vjp,
)
from vaekern._backends.triton.math.laplace import laplace_log_likelihood, laplace_log_likelihood_vjp
from vaekern._backends.triton.math.negative_binomial import (
    negative_binomial_log_likelihood,
    negative_binomial_log_likelihood_vjp,
    zero_inflated_negative_binomial_log_likelihood,
    zero_inflated_negative_binomial_log_likelihood_vjp,
)
from vaekern._backends.triton.math.poisson import poisson_log_likelihood, poisson_log_likelihood_vjp
from vaekern._backends.triton.math.reparameterize import (
    reparameterize,
    reparameterize_vjp,
    sample_with_gaussian_kl,
    sample_with_gaussian_kl_vjp,
    sample_with_standard_kl,
    sample_with_standard_kl_vjp,
)
from vaekern._backends.triton.math.student_t import (
    student_t_log_likelihood,
    student_t_log_likelihood_vjp,
)

SCALES = ("logvar", "log_std", "std")


class Op(NamedTuple):
    """A pointwise function and its derivative, and how many numbers each of them returns."""

    value: Any
    n_results: int
    vjp: Any
    n_gradients: int
    scales: tuple[str, ...] = SCALES


OPS = (
    Op(bernoulli_log_likelihood, 1, bernoulli_log_likelihood_vjp, 2, scales=("",)),
    Op(bernoulli_probs_log_likelihood, 1, bernoulli_probs_log_likelihood_vjp, 2, scales=("",)),
    Op(
        continuous_bernoulli_log_likelihood,
        1,
        continuous_bernoulli_log_likelihood_vjp,
        2,
        scales=("",),
    ),
    Op(gaussian_log_likelihood, 1, gaussian_log_likelihood_vjp, 3),
    Op(laplace_log_likelihood, 1, laplace_log_likelihood_vjp, 3, scales=("",)),
    Op(student_t_log_likelihood, 1, student_t_log_likelihood_vjp, 4, scales=("",)),
    Op(
        discretized_logistic_log_likelihood,
        1,
        discretized_logistic_log_likelihood_vjp,
        3,
        scales=("",),
    ),
    Op(categorical_log_likelihood, 1, categorical_log_likelihood_vjp, 1, scales=("",)),
    Op(multinomial_log_likelihood, 3, multinomial_log_likelihood_vjp, 2, scales=("",)),
    Op(poisson_log_likelihood, 1, poisson_log_likelihood_vjp, 2, scales=("",)),
    Op(
        negative_binomial_log_likelihood,
        1,
        negative_binomial_log_likelihood_vjp,
        3,
        scales=("",),
    ),
    Op(
        zero_inflated_negative_binomial_log_likelihood,
        1,
        zero_inflated_negative_binomial_log_likelihood_vjp,
        4,
        scales=("",),
    ),
    Op(standard_kl, 1, standard_kl_vjp, 2),
    Op(gaussian_kl, 1, gaussian_kl_vjp, 4),
    Op(reparameterize, 1, reparameterize_vjp, 2),
    Op(sample_with_standard_kl, 2, sample_with_standard_kl_vjp, 3),
    Op(sample_with_gaussian_kl, 2, sample_with_gaussian_kl_vjp, 5),
)


class Kernel(NamedTuple):
    """What a launch applies to each element: ``value``, ``vjp``, or both, of which the first takes
    all inputs but the gradient that stands before them."""

    value: Any  # None: not wanted
    vjp: Any
    scale: str
    n_inputs: int
    n_outputs: int


def _n_arguments(function: Any) -> int:
    return len(inspect.signature(function.fn).parameters) - 1  # the last one is the scale


def _kernels() -> dict[tuple[str, str, str], Kernel]:
    found: dict[tuple[str, str, str], Kernel] = {}
    for op in OPS:
        name = op.value.fn.__name__
        n_value, n_vjp = _n_arguments(op.value), _n_arguments(op.vjp)
        for scale in op.scales:
            found[name, scale, "value"] = Kernel(op.value, None, scale, n_value, op.n_results)
            found[name, scale, "vjp"] = Kernel(None, op.vjp, scale, n_vjp, op.n_gradients)
            if op.n_results == 1 and n_vjp == 1 + n_value:
                found[name, scale, "value_and_vjp"] = Kernel(
                    op.value, op.vjp, scale, n_vjp, 1 + op.n_gradients
                )
    return found


#: (operation, scale, variant) -> what runs
KERNELS = _kernels()
