"""``torch.distributions.Normal`` by the kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions import Normal as TorchNormal
from torch.distributions import register_kl

from vaekern.compat._log_probs import normal_log_prob
from vaekern.compat.torch_distributions import normal_kl
from vaekern.functional import reparameterize


class Normal(TorchNormal):
    """``torch.distributions.Normal``, of which samples (``rsample``, ``sample``),
    log-probabilities and KL divergences to itself and to ``torch.distributions.Normal`` come from
    the fused kernels: noise is generated in the kernel, from torch's generator of that device.

    A drop-in for it, also within ``Independent`` and ``TransformedDistribution``; see
    :func:`torch.distributions.Normal` for arguments and methods. Elements are not summed:
    ``vk.compat.distributions`` sums those of ``Independent`` in the kernel too.
    """

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        loc, scale = self.loc.expand(shape), self.scale.expand(shape)
        return reparameterize(loc, scale, scale="std", batch_dims=0)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        fused = normal_log_prob(self, value)
        return super().log_prob(value) if fused is None else fused


def _kl(p: TorchNormal, q: TorchNormal) -> Tensor:
    kl = normal_kl(p, q)
    return torch.distributions.kl_divergence(_plain(p), _plain(q)) if kl is None else kl


def _plain(normal: TorchNormal) -> TorchNormal:
    return TorchNormal(normal.loc, normal.scale, validate_args=False)


for _pair in ((Normal, Normal), (Normal, TorchNormal), (TorchNormal, Normal)):
    register_kl(*_pair)(_kl)
