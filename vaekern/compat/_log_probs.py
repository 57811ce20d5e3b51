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
)

from vaekern.compat._tensors import as_dtype, broadcast, formula_dtype, fusable
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


def fused_log_prob(distribution: Any, value: Any) -> Tensor | None:
    """Also of ``Independent``, whose dimensions are summed in the kernel."""
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
    if not fusable(normal.loc, normal.scale, value):
        return None
    validate(normal, value)
    loc, x, scale = broadcast(normal.loc, value, parameters=(normal.scale,))
    result = gaussian_log_likelihood(loc, x, scale, scale="std", batch_dims=loc.dim() - summed)
    return as_dtype(result, formula_dtype(normal.loc, normal.scale, value))


def bernoulli_log_prob(bernoulli: Bernoulli, value: Any, summed: int = 0) -> Tensor | None:
    return _of_logits(bernoulli_log_likelihood, bernoulli, value, summed)


def continuous_bernoulli_log_prob(
    bernoulli: ContinuousBernoulli, value: Any, summed: int = 0
) -> Tensor | None:
    return _of_logits(_with_clamped_normaliser, bernoulli, value, summed)


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


def _of_logits(
    log_likelihood: Callable[..., Tensor], distribution: Any, value: Any, summed: int
) -> Tensor | None:
    if not fusable(distribution.logits, value):
        return None
    validate(distribution, value)
    logits, x = broadcast(distribution.logits, value)
    result = log_likelihood(logits, x, batch_dims=logits.dim() - summed)
    return as_dtype(result, formula_dtype(distribution.logits, value))


def laplace_log_prob(laplace: Laplace, value: Any, summed: int = 0) -> Tensor | None:
    if not fusable(laplace.loc, laplace.scale, value):
        return None
    validate(laplace, value)
    loc, x, log_scale = broadcast(laplace.loc, value, parameters=(_log(laplace.scale),))
    result = laplace_log_likelihood(loc, x, log_scale, batch_dims=loc.dim() - summed)
    return as_dtype(result, formula_dtype(laplace.loc, laplace.scale, value))


def student_t_log_prob(student_t: StudentT, value: Any, summed: int = 0) -> Tensor | None:
    tensors = student_t.loc, student_t.scale, student_t.df, value
    if not fusable(*tensors):
        return None
    validate(student_t, value)
    parameters = _log(student_t.scale), student_t.df
    loc, x, log_scale, df = broadcast(student_t.loc, value, parameters=parameters)
    result = student_t_log_likelihood(loc, x, log_scale, df, batch_dims=loc.dim() - summed)
    return as_dtype(result, formula_dtype(*tensors))


def poisson_log_prob(poisson: Poisson, value: Any, summed: int = 0) -> Tensor | None:
    if not fusable(poisson.rate, value):
        return None
    validate(poisson, value)
    return as_dtype(
        poisson_of_rates(summed, poisson.rate, value), formula_dtype(poisson.rate, value)
    )


def poisson_of_rates(summed: int, rate: Tensor, value: Tensor) -> Tensor:
    log_rate, x = broadcast(_log(rate), value)
    return poisson_log_likelihood(log_rate, x, batch_dims=log_rate.dim() - summed)


def negative_binomial_log_prob(
    distribution: NegativeBinomial, value: Any, summed: int = 0
) -> Tensor | None:
    """The dispersion is ``total_count``, and that times the odds the mean."""
    total_count, logits = distribution.total_count, distribution.logits
    if not fusable(total_count, logits, value):
        return None
    validate(distribution, value)
    log_dispersion = _log(total_count)
    log_mean, x, log_dispersion = broadcast(
        log_dispersion + logits, value, parameters=(log_dispersion,)
    )
    result = negative_binomial_log_likelihood(
        log_mean, x, log_dispersion, batch_dims=log_mean.dim() - summed
    )
    return as_dtype(result, formula_dtype(total_count, logits, value))


def multinomial_log_prob(multinomial: Multinomial, value: Any, summed: int = 0) -> Tensor | None:
    """Its classes lie along the last dimension, and are no ones that are ``summed``."""
    if not fusable(multinomial.logits, value):
        return None
    validate(multinomial, value)
    logits, counts = broadcast(multinomial.logits, value)
    result = multinomial_log_likelihood(logits, counts, batch_dims=logits.dim() - 1 - summed)
    return as_dtype(result, formula_dtype(multinomial.logits, value))


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
    return torch.log(as_dtype(positive, torch.promote_types(positive.dtype, torch.float32)))


def validate(distribution: Any, value: Tensor) -> None:
    """As every ``log_prob`` of torch begins. (These two names are what torch offers to those who
    write distributions of their own; there is no public way to ask.)"""
    if distribution._validate_args:
        distribution._validate_sample(value)
