"""``MiniMaxH3AudioDiagonalGaussianDistribution`` of diffusers, for the audio autoencoder of
MiniMax-H3."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from vaekern.compat._attributes import Computed, was_set
from vaekern.compat._noise import Generators, NoiseSource, fused_sample, randn, sample_of_noise
from vaekern.compat._tensors import broadcast, formula_dtype

__all__ = ["MiniMaxH3AudioDiagonalGaussianDistribution"]


class MiniMaxH3AudioDiagonalGaussianDistribution:
    """A posterior over latents [B, C, L] from means and logarithms of deviations.

    ``noise = "fused"`` in a subclass has samples use noise generated inside the kernel. There is
    no ``kl()``, as there: ``vaekern.gaussian_kl(posterior.mean, posterior.logs, scale="log_std")``.
    """

    noise: ClassVar[NoiseSource] = "torch"

    def __init__(self, mean: Tensor, logs: Tensor) -> None:
        self.mean = mean
        self.logs = self._made_logs = logs

    @Computed
    def std(self) -> Tensor:
        return torch.exp(self._made_logs)

    def mode(self) -> Tensor:
        return self.mean

    def sample(self, generator: Generators = None) -> Tensor:
        """A sample; of a list of generators, one draws each datapoint's noise."""
        dtype = formula_dtype(self.mean, self._made_logs)
        mean = self.mean.to(dtype)
        if self.noise == "fused" and not was_set(self, "std"):
            mean, log_std = broadcast(mean, self._made_logs)
            return fused_sample(mean, log_std, generator, scale="log_std").to(dtype)
        eps = randn(mean.shape, generator, mean.device, self.mean.dtype)
        if was_set(self, "std"):
            return mean + self.std * eps
        mean, log_std, eps = broadcast(mean, self._made_logs, eps)
        return sample_of_noise(mean, log_std, eps, scale="log_std").to(dtype)
