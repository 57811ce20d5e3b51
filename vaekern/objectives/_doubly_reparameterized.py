"""The gradient of DReG, as a node in front of log-weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function


class DoublyReparameterized(Function):
    """z, and a zero for each sample, to be added to its log-weight.

    The gradient of that zero is the one that arrives at the log-weight: the normalised weight of
    the bound, times what arrives at the bound, which is therefore the sum over samples. The
    gradient of z, which has that factor already, is multiplied by the normalised weight again.
    """

    @staticmethod
    def forward(z: Tensor, batch_dims: int, sample_dim: int) -> tuple[Tensor, Tensor]:
        return z.view_as(z), z.new_zeros(z.shape[:batch_dims])

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.sample_dim = inputs[2]

    @staticmethod
    def backward(ctx: Any, g_z: Tensor, g_zero: Tensor) -> tuple[Tensor, None, None]:
        total = g_zero.sum(ctx.sample_dim, keepdim=True)
        weights = g_zero / torch.where(total == 0, 1.0, total)
        weights = weights.reshape(*weights.shape, *(1,) * (g_z.dim() - weights.dim()))
        return g_z * weights, None, None

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, z: Tensor, batch_dims: int, sample_dim: int
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        in_front = z.movedim(in_dims[0], 0)
        return DoublyReparameterized.apply(in_front, batch_dims + 1, sample_dim + 1), (0, 0)
