"""``torch.distributions``: KL divergence of Normals, log-probabilities of Normals and Bernoullis,
each also within ``Independent``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from vaekern.compat._patch import Patch
from vaekern.compat._tensors import broadcast, formula_dtype, fusable
from vaekern.functional import bernoulli_log_likelihood, gaussian_kl, gaussian_log_likelihood

__all__ = ["distributions", "kl_divergence", "log_prob"]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """``torch.distributions.kl_divergence(p, q)``, by a kernel for two Normals, or two
    ``Independent`` of as many dimensions around them. A divergence of ``Independent`` is summed in
    that kernel."""
    kl = _fused_kl(p, q, summed=0)
    return torch.distributions.kl_divergence(p, q) if kl is None else kl


def log_prob(distribution: Distribution, value: Tensor) -> Tensor:
    """``distribution.log_prob(value)``, by a kernel for Normal and Bernoulli and ``Independent``
    around them. A log-probability of ``Independent`` is summed in that kernel."""
    fused = _fused_log_prob(distribution, value)
    return distribution.log_prob(value) if fused is None else fused


def distributions() -> Patch:
    """Has ``torch.distributions`` compute as :func:`kl_divergence` and :func:`log_prob` do, and
    everything else as ever, for code that calls it and cannot be changed.

    ``with distributions(): ...`` is undone at the end of the block, ``distributions()`` by the
    ``undo()`` of what it returns. Enter it once around the training: it looks through all modules
    for ``kl_divergence``.
    """
    patch = Patch()
    original = torch.distributions.kl_divergence

    @functools.wraps(original)
    def fused_or_original(p: Distribution, q: Distribution) -> Tensor:
        kl = _fused_kl(p, q, summed=0)
        return original(p, q) if kl is None else kl

    patch.rebind(original, fused_or_original)
    for family in (Normal, Bernoulli, Independent):
        patch.set_attribute(family, "log_prob", _fused_or_original(family.log_prob))
    return patch


def _fused_or_original(original: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(original)
    def log_prob(self: Distribution, value: Tensor) -> Tensor:
        fused = _fused_log_prob(self, value)
        return original(self, value) if fused is None else fused

    return log_prob


# --- what is known: None stands for all the rest ------------------------------------------------


def _is_a(distribution: Any, family: type[Distribution]) -> bool:
    """Of this family, or of a subclass of the same density."""
    of = type(distribution)
    return issubclass(of, family) and of.log_prob is family.log_prob


def _fused_kl(p: Any, q: Any, summed: int) -> Tensor | None:
    """The divergence, summed over the rightmost dimensions."""
    if _is_a(p, Independent) and _is_a(q, Independent):
        dims = p.reinterpreted_batch_ndims
        if dims != q.reinterpreted_batch_ndims:
            return None
        return _fused_kl(p.base_dist, q.base_dist, summed + dims)
    if not (_is_a(p, Normal) and _is_a(q, Normal)):
        return None
    return normal_kl(p, q, summed)


def normal_kl(p: Normal, q: Normal, summed: int = 0) -> Tensor | None:
    """The same of two Normals, None where no kernel takes their parameters together."""
    if not fusable(p.loc, p.scale, q.loc, q.scale):
        return None
    dtype = formula_dtype(p.loc, p.scale, q.loc, q.scale)
    tensors = broadcast(p.loc, p.scale, parameters=(q.loc, q.scale))
    kl = gaussian_kl(*tensors, scale="std", batch_dims=tensors[0].dim() - summed)
    return kl.to(dtype)


def _fused_log_prob(distribution: Any, value: Any) -> Tensor | None:
    summed = 0
    while _is_a(distribution, Independent):
        summed += distribution.reinterpreted_batch_ndims
        distribution = distribution.base_dist
    if _is_a(distribution, Normal):
        return normal_log_prob(distribution, value, summed)
    if _is_a(distribution, Bernoulli) and fusable(distribution.logits, value):
        return _bernoulli_log_prob(distribution, value, summed)
    return None


def normal_log_prob(normal: Normal, value: Any, summed: int = 0) -> Tensor | None:
    """That of a Normal, summed over the rightmost dimensions; None where no kernel takes it."""
    if not fusable(normal.loc, normal.scale, value):
        return None
    _validate(normal, value)
    loc, x, scale = broadcast(normal.loc, value, parameters=(normal.scale,))
    result = gaussian_log_likelihood(loc, x, scale, scale="std", batch_dims=loc.dim() - summed)
    return result.to(formula_dtype(normal.loc, normal.scale, value))


def _bernoulli_log_prob(bernoulli: Bernoulli, value: Tensor, summed: int) -> Tensor:
    _validate(bernoulli, value)
    logits, x = broadcast(bernoulli.logits, value)
    result = bernoulli_log_likelihood(logits, x, batch_dims=logits.dim() - summed)
    return result.to(formula_dtype(bernoulli.logits, value))


def _validate(distribution: Any, value: Tensor) -> None:
    """As every ``log_prob`` of torch begins. (These two names are what torch offers to those who
    write distributions of their own; there is no public way to ask.)"""
    if distribution._validate_args:
        distribution._validate_sample(value)
