"""``OobleckDiagonalGaussianDistribution`` of diffusers, for the autoencoder of Stable Audio."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from vaekern.compat._attributes import Computed, was_set
from vaekern.compat._noise import Generators, NoiseSource, fused_sample, randn, sample_of_noise
from vaekern.compat._tensors import as_dtype, broadcast, formula_dtype
from vaekern.compat._warnings import warn_once
from vaekern.functional import gaussian_kl

__all__ = ["OobleckDiagonalGaussianDistribution"]

_SMALLEST_STD = 1e-4
_TWICE = (
    "{what} of diffusers' Oobleck posterior is twice the KL divergence in nats{more}, and averaged "
    "over positions too. It is done here as there; for one divergence per datapoint, call "
    "vaekern.gaussian_kl({arguments}, scale='std')"
)
_KL_IS_TWICE = _TWICE.format(what="kl()", more="", arguments="posterior.mean, posterior.std")
_KL_OF_OTHER_IS_TWICE = _TWICE.format(
    what="kl(other)",
    more=" plus 2 log(posterior.var / other.var), for a wrong sign",
    arguments="posterior.mean, posterior.std, other.mean, other.std",
)


class OobleckDiagonalGaussianDistribution:
    """A posterior over latents [B, C, L] from an encoder's output: means and scales, one after the
    other along dimension 1. Deviations are softplus(scale) + 1e-4.

    ``noise = "fused"`` in a subclass has samples use noise generated inside the kernel. As there,
    a ``deterministic`` one has deviations and samples all the same; only its :meth:`kl` is 0.
    """

    noise: ClassVar[NoiseSource] = "torch"

    def __init__(self, parameters: Tensor, deterministic: bool = False) -> None:
        self.parameters = parameters
        self.mean, self.scale = parameters.chunk(2, dim=1)
        wide = torch.promote_types(self.scale.dtype, torch.float32)
        self._wide_std = F.softplus(as_dtype(self.scale, wide)) + _SMALLEST_STD
        self.deterministic = deterministic

    @Computed
    def std(self) -> Tensor:
        return self._wide_std.to(formula_dtype(self.scale))

    @Computed
    def var(self) -> Tensor:
        return self._wide_std.square().to(formula_dtype(self.scale))

    @Computed
    def logvar(self) -> Tensor:
        return (2.0 * torch.log(self._wide_std)).to(formula_dtype(self.scale))

    def sample(self, generator: Generators = None) -> Tensor:
        """A sample; of a list of generators, one draws each datapoint's noise."""
        dtype = formula_dtype(self.mean)
        mean = as_dtype(self.mean, dtype)
        if self.noise == "fused" and not was_set(self, "std"):
            mean, std = broadcast(mean, self._wide_std)
            return as_dtype(fused_sample(mean, std, generator, scale="std"), dtype)
        eps = randn(mean.shape, generator, mean.device, self.parameters.dtype)
        if was_set(self, "std"):
            return mean + self.std * eps
        mean, std, eps = broadcast(mean, self._wide_std, eps)
        return as_dtype(sample_of_noise(mean, std, eps, scale="std"), dtype)

    def kl(self, other: Any = None) -> Tensor:
        r"""What diffusers calls the KL divergence to N(0, 1), or to ``other``: summed over
        dimension 1, averaged over the others.

        It is twice the divergence, for the factor 1/2 is missing. To ``other``, it is
        :math:`2 \log(\sigma^2 / \sigma_o^2)` more than that, for a sign is wrong: no divergence,
        and negative for some. It is done here as there, with a warning, once.
        """
        if self.deterministic:
            return torch.zeros(1)
        if not (_is_as_made(self) and _is_as_made(other)):
            return self._kl_of_any_variance(other)
        if other is None:
            warn_once(_KL_IS_TWICE)
            tensors = broadcast(self.mean, self._wide_std)
            total = gaussian_kl(*tensors, scale="std", batch_dims=0)
            dtype = formula_dtype(self.mean)
        else:
            warn_once(_KL_OF_OTHER_IS_TWICE)
            tensors = broadcast(self.mean, self._wide_std, parameters=(other.mean, other.std))
            kl = gaussian_kl(*tensors, scale="std", batch_dims=0)
            total = kl + 2.0 * torch.log(self._wide_std / other.std).sum()
            dtype = formula_dtype(self.mean, other.mean)
        positions = tensors[0].numel() / tensors[0].shape[1]
        return as_dtype(total / (0.5 * positions), dtype)

    def _kl_of_any_variance(self, other: Any) -> Tensor:
        """The formula as it is, where somebody set a variance or a log-variance alone."""
        if other is None:
            elements = self.mean.square() + self.var - self.logvar - 1.0
        else:
            elements = (self.mean - other.mean).square() / other.var + self.var / other.var
            elements = elements + (self.logvar - other.logvar) - 1.0
        return elements.sum(1).mean()

    def mode(self) -> Tensor:
        return self.mean


def _is_as_made(posterior: Any) -> bool:
    """Whether variances and log-variances still say the same."""
    ours = isinstance(posterior, OobleckDiagonalGaussianDistribution)
    return not ours or not was_set(posterior, "std", "var", "logvar")
