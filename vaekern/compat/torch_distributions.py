"""``torch.distributions``: KL divergences of Normals and of one-hot vectors, and log-probabilities
of the families that have kernels, each also within ``Independent``."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, OneHotCategorical

from vaekern._torch import kl_of_normals, kl_of_one_hots, logits_given, registered_kl
from vaekern.compat._log_probs import FAMILIES, fused_log_prob, is_a
from vaekern.compat._patch import Patch
from vaekern.compat._tensors import broadcast, formula_dtype, fusable
from vaekern.functional import categorical_kl, gaussian_kl

__all__ = ["distributions", "kl_divergence", "log_prob"]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """``torch.distributions.kl_divergence(p, q)``, by a kernel for two Normals, for two
    OneHotCategorical that were made of logits, or for two ``Independent`` of as many dimensions
    around them. A divergence of ``Independent`` is summed in that kernel."""
    kl = _fused_kl(p, q, summed=0)
    return torch.distributions.kl_divergence(p, q) if kl is None else kl


def log_prob(distribution: Distribution, value: Tensor) -> Tensor:
    """``distribution.log_prob(value)``, by a kernel for Normal, Laplace, StudentT, Bernoulli,
    ContinuousBernoulli, Poisson, NegativeBinomial, Multinomial, and ``Independent`` around them. A
    log-probability of ``Independent`` is summed in that kernel."""
    fused = fused_log_prob(distribution, value)
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
    fused: dict[Any, Callable[..., Tensor | None]] = {**FAMILIES, Independent: fused_log_prob}
    for family, log_prob in fused.items():
        patch.set_attribute(family, "log_prob", _fused_or_original(family.log_prob, log_prob))
    return patch


def _fused_or_original(
    original: Callable[..., Tensor], fused_log_prob: Callable[..., Tensor | None]
) -> Callable[..., Tensor]:
    @functools.wraps(original)
    def log_prob(self: Distribution, value: Tensor) -> Tensor:
        fused = fused_log_prob(self, value)
        return original(self, value) if fused is None else fused

    return log_prob


def _fused_kl(p: Any, q: Any, summed: int) -> Tensor | None:
    """The divergence, summed over the rightmost dimensions. None stands for all that is not known,
    and for what somebody has registered a divergence of."""
    registered = registered_kl(type(p), type(q))
    if is_a(p, Independent) and is_a(q, Independent):
        dims = p.reinterpreted_batch_ndims
        usual = registered is registered_kl(Independent, Independent)
        if not usual or dims != q.reinterpreted_batch_ndims:
            return None
        return _fused_kl(p.base_dist, q.base_dist, summed + dims)
    if registered is kl_of_normals and is_a(p, Normal) and is_a(q, Normal):
        return normal_kl(p, q, summed)
    if registered is kl_of_one_hots and is_a(p, OneHotCategorical) and is_a(q, OneHotCategorical):
        return one_hot_kl(p, q, summed)
    return None


def normal_kl(p: Normal, q: Normal, summed: int = 0) -> Tensor | None:
    """The same of two Normals, None where no kernel takes their parameters together."""
    if not fusable(p.loc, p.scale, q.loc, q.scale):
        return None
    dtype = formula_dtype(p.loc, p.scale, q.loc, q.scale)
    tensors = broadcast(p.loc, p.scale, parameters=(q.loc, q.scale))
    kl = gaussian_kl(*tensors, scale="std", batch_dims=tensors[0].dim() - summed)
    return kl.to(dtype)


def one_hot_kl(p: OneHotCategorical, q: OneHotCategorical, summed: int = 0) -> Tensor | None:
    """The same of two categorical distributions of one-hot vectors that were made of logits."""
    if not (logits_given(p) and logits_given(q) and fusable(p.logits, q.logits)):
        return None
    logits, prior_logits = torch.broadcast_tensors(p.logits, q.logits)
    kl = categorical_kl(logits, prior_logits, batch_dims=logits.dim() - 1 - summed)
    return kl.to(formula_dtype(p.logits, q.logits))
