"""A loss, and its parts by torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

import vaekern as vk

F64 = torch.float64
B = 6


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = F64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=F64).to(dtype)


class Problem:
    """Images [B, 3, 4] with latents [B, 4, 2], of channels that differ in their divergence."""

    def __init__(self) -> None:
        self.output = normal(B, 3, 4, seed=1).requires_grad_()
        self.x = torch.sigmoid(normal(B, 3, 4, seed=2))
        width = torch.tensor([0.05, 0.3, 1.0, 2.0], dtype=F64)[:, None]
        self.mu = (width * normal(B, 4, 2, seed=3)).requires_grad_()
        self.logvar = (width * normal(B, 4, 2, seed=4)).requires_grad_()
        self.leaves = (self.output, self.mu, self.logvar)

    def loss(self, **options: Any) -> Tensor:
        return vk.elbo_loss(self.output, self.x, self.mu, self.logvar, **options)

    def cross_entropy(self) -> Tensor:
        return binary_cross_entropy_with_logits(self.output, self.x, reduction="none")

    def kl(self) -> Tensor:
        q = Normal(self.mu, torch.exp(0.5 * self.logvar))
        return kl_divergence(q, Normal(torch.zeros((), dtype=F64), 1.0))

    def compare(self, loss: Tensor, expected: Tensor) -> None:
        torch.testing.assert_close(loss, expected)
        found, wanted = (
            torch.autograd.grad(value.sum(), self.leaves, retain_graph=True)
            for value in (loss, expected)
        )
        torch.testing.assert_close(found, wanted)
