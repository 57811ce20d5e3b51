"""``torch.distributions.OneHotCategorical`` by the kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import OneHotCategorical as TorchOneHotCategorical
from torch.distributions import (
    OneHotCategoricalStraightThrough as TorchOneHotCategoricalStraightThrough,
)
from torch.distributions import register_kl

from vaekern.compat.torch_distributions import one_hot_kl
from vaekern.functional import sample_categorical


class OneHotCategorical(TorchOneHotCategorical):
    """``torch.distributions.OneHotCategorical``, of which samples and KL divergences to itself and
    to ``torch.distributions.OneHotCategorical`` come from the fused kernels: noise is generated in
    the kernel, from torch's generator of that device. Divergences are those of the logits, and
    torch's own where one was made of probabilities.

    A drop-in for it, also within ``Independent``; see :func:`torch.distributions.OneHotCategorical`
    for arguments and methods.
    """

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            return _straight_through(self, sample_shape)


class OneHotCategoricalStraightThrough(OneHotCategorical, TorchOneHotCategoricalStraightThrough):
    """``torch.distributions.OneHotCategoricalStraightThrough``, likewise: ``rsample`` has the
    derivatives of the probabilities (Bengio et al. 2013)."""

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return _straight_through(self, sample_shape)


def _straight_through(distribution: TorchOneHotCategorical, sample_shape: Sequence[int]) -> Tensor:
    shape = distribution._extended_shape(torch.Size(sample_shape))
    return sample_categorical(distribution.logits.expand(shape), batch_dims=0)


def _kl(p: TorchOneHotCategorical, q: TorchOneHotCategorical) -> Tensor:
    kl = one_hot_kl(p, q)
    return torch.distributions.kl_divergence(_plain(p), _plain(q)) if kl is None else kl


def _plain(distribution: TorchOneHotCategorical) -> TorchOneHotCategorical:
    return TorchOneHotCategorical(distribution.probs, validate_args=False)


for _pair in (
    (OneHotCategorical, OneHotCategorical),
    (OneHotCategorical, TorchOneHotCategorical),
    (TorchOneHotCategorical, OneHotCategorical),
):
    register_kl(*_pair)(_kl)
