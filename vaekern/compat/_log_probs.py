"""Log-probabilities of ``torch.distributions`` by the kernels, summed there over the rightmost
dimensions. None stands for what no kernel takes: other families, integers, several devices."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    Distribution,
    Independent,
    Laplace,
    Multinomial,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    constraints,
)

from vaekern.compat._support import are_counts
from vaekern.compat._tensors import WIDE, alike, as_dtype, broadcast, formula_dtype, fusable
from vaekern.functional import (
    bernoulli_log_likelihood,
    continuous_bernoulli_log_likelihood,
    gaussian_log_likelihood,
    laplace_log_likelihood,
    multinomial_log_likelihood,
    negative_binomial_log_likelihood,
    poisson_log_likelihood,
    student_t_log_likelihood,
)

#: Tensors of one shape, as broadcasting leaves them, and parameters, which the kernels broadcast.
Arguments = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


def fused_log_prob(distribution: Any, value: Any) -> Tensor | None:
    """Also of ``Independent``, whose dimensions are summed in the kernel."""
    usual = FAMILIES.get(type(distribution))
    if usual is not None:
        return usual(distribution, value)
    summed = 0
    while is_a(distribution, Independent):
        summed += distribution.reinterpreted_batch_ndims
        distribution = distribution.base_dist
    for family in type(distribution).__mro__:
        log_prob = FAMILIES.get(family)
        if log_prob is not None and is_a(distribution, family):
            return log_prob(distribution, value, summed)
    return None


def is_a(distribution: Any, family: type[Distribution]) -> bool:
    """Of this family, or of a subclass of the same density."""
    of = type(distribution)
    return issubclass(of, family) and of.log_prob is family.log_prob


def normal_log_prob(normal: Normal, value: Any, summed: int = 0) -> Tensor | None:
    return _fused(normal, value, summed, (normal.loc, normal.scale), _with_scale, _gaussian)


def _with_scale(loc: Tensor, scale: Tensor, x: Tensor) -> Arguments:
    return (loc, x), (scale,)


def _gaussian(loc: Tensor, x: Tensor, scale: Tensor, batch_dims: int) -> Tensor:
    return gaussian_log_likelihood(loc, x, scale, scale="std", batch_dims=batch_dims)


def bernoulli_log_prob(bernoulli: Bernoulli, value: Any, summed: int = 0) -> Tensor | None:
    given = (bernoulli.logits,)
    return _fused(bernoulli, value, summed, given, _as_they_are, bernoulli_log_likelihood)


def continuous_bernoulli_log_prob(
    bernoulli: ContinuousBernoulli, value: Any, summed: int = 0
) -> Tensor | None:
    given = (bernoulli.logits,)
    return _fused(bernoulli, value, summed, given, _as_they_are, _with_clamped_normaliser)


def _as_they_are(*tensors: Tensor) -> Arguments:
    return tensors, ()


def _with_clamped_normaliser(logits: Tensor, x: Tensor, batch_dims: int) -> Tensor:
    """torch's normaliser is that of probabilities in [eps, 1 - eps]. Beyond, where it is constant,
    the rest of the density is linear."""
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    bound = -math.log(torch.finfo(wide.dtype).eps)
    within = wide.clamp(-bound, bound)
    log_likelihood = continuous_bernoulli_log_likelihood(within, x, batch_dims=batch_dims)
    beyond = (wide - within) * torch.where(wide > 0.0, x - 1.0, x)
    summed = tuple(range(batch_dims, beyond.dim()))
    return log_likelihood + (beyond.sum(summed) if summed else beyond)


def laplace_log_prob(laplace: Laplace, value: Any, summed: int = 0) -> Tensor | None:
    given = laplace.loc, laplace.scale
    return _fused(laplace, value, summed, given, _with_log_scale, laplace_log_likelihood)


def student_t_log_prob(student_t: StudentT, value: Any, summed: int = 0) -> Tensor | None:
    given = student_t.loc, student_t.scale, student_t.df
    return _fused(student_t, value, summed, given, _with_log_scale, student_t_log_likelihood)


def _with_log_scale(loc: Tensor, scale: Tensor, *others_and_x: Tensor) -> Arguments:
    *others, x = others_and_x
    return (loc, x), (_log(scale), *others)


def poisson_log_prob(poisson: Poisson, value: Any, summed: int = 0) -> Tensor | None:
    return _fused(poisson, value, summed, (poisson.rate,), _of_rates, poisson_log_likelihood)


def _of_rates(rate: Tensor, x: Tensor) -> Arguments:
    return (_log(rate), x), ()


def poisson_of_rates(summed: int, rate: Tensor, value: Tensor) -> Tensor:
    log_rate, x = broadcast(_log(rate), value)
    return poisson_log_likelihood(log_rate, x, batch_dims=log_rate.dim() - summed)


def negative_binomial_log_prob(
    distribution: NegativeBinomial, value: Any, summed: int = 0
) -> Tensor | None:
    given = distribution.total_count, distribution.logits
    kernel = negative_binomial_log_likelihood
    return _fused(distribution, value, summed, given, _of_counts_of_failures, kernel)


def _of_counts_of_failures(total_count: Tensor, logits: Tensor, x: Tensor) -> Arguments:
    """The dispersion is ``total_count``, and that times the odds the mean."""
    log_dispersion = _log(total_count)
    return (log_dispersion + logits, x), (log_dispersion,)


def multinomial_log_prob(multinomial: Multinomial, value: Any, summed: int = 0) -> Tensor | None:
    return _fused(multinomial, value, summed, (multinomial.logits,), _as_they_are, _of_classes)


def _of_classes(logits: Tensor, counts: Tensor, batch_dims: int) -> Tensor:
    """Classes lie along the last dimension, which is none of the ``batch_dims`` of the sample."""
    return multinomial_log_likelihood(logits, counts, batch_dims=batch_dims - 1)


def _fused(
    distribution: Any,
    value: Any,
    summed: int,
    given: tuple[Tensor, ...],
    arguments: Callable[..., Arguments],
    log_likelihood: Callable[..., Tensor],
) -> Tensor | None:
    """Of a family whose parameters are ``given``. The arguments of its function are made of those
    and the value."""
    regular = alike(*given, value)
    if not regular and not fusable(*given, value):
        return None
    validate(distribution, value)
    tensors, parameters = arguments(*given, value)
    if regular:
        return log_likelihood(*tensors, *parameters, batch_dims=value.dim() - summed)
    ready = broadcast(*tensors, parameters=parameters)
    result = log_likelihood(*ready, batch_dims=ready[0].dim() - summed)
    return as_dtype(result, formula_dtype(*given, value))


FAMILIES: dict[type[Distribution], Callable[..., Tensor | None]] = {
    Normal: normal_log_prob,
    Bernoulli: bernoulli_log_prob,
    ContinuousBernoulli: continuous_bernoulli_log_prob,
    Laplace: laplace_log_prob,
    Multinomial: multinomial_log_prob,
    NegativeBinomial: negative_binomial_log_prob,
    Poisson: poisson_log_prob,
    StudentT: student_t_log_prob,
}


def _log(positive: Tensor) -> Tensor:
    """In the precision of the kernels' arithmetic."""
    return torch.log(positive if positive.dtype in WIDE else positive.float())


def validate(distribution: Any, value: Tensor) -> None:
    """As every ``log_prob`` of torch begins. (These two names are what torch offers to those who
    write distributions of their own; there is no public way to ask.)"""
    if distribution._validate_args and not _is_count_of(distribution, value):
        distribution._validate_sample(value)


def _is_count_of(distribution: Any, value: Any) -> bool:
    """Whether nothing is left to validate."""
    is_of_counts = type(distribution).support is constraints.nonnegative_integer
    return is_of_counts and are_counts(value) and value.shape == distribution.batch_shape
