"""What ``torch.func.vmap`` makes of an operation's tensors: the mapped dimension becomes one more
batch dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._ops.base import Operation


def _in_front(size: int, tensor: Tensor, dim: int | None) -> Tensor:
    front = tensor.unsqueeze(0) if dim is None else tensor.movedim(dim, 0)
    return front.expand(size, *front.shape[1:])


def in_front_if_any(size: int, tensor: Tensor | None, dim: int | None) -> Tensor | None:
    """With the mapped dimension first, if there is a tensor."""
    return None if tensor is None else _in_front(size, tensor, dim)


def batch_inputs(
    op: Operation,
    size: int,
    tensors: Sequence[Tensor],
    in_dims: Sequence[int | None],
    backend: str,
) -> list[Any]:
    """Inputs with the mapped dimension as one more batch dimension. A seed becomes the noise it
    stands for: each mapped call has its own elements 0, 1, ..."""
    batched = [_in_front(size, t, dim) for t, dim in zip(tensors, in_dims, strict=False)]
    shape = batched[0].shape
    for k, tensor in enumerate(batched):
        if tensor.dtype is torch.int64 and op.draws_noise:
            wide = accumulation_dtype(batched)
            batched[k] = torch.stack([op.noise(seed, shape[1:], wide, backend) for seed in tensor])
        elif tensor.dim() < len(shape):
            padding = (1,) * (len(shape) - tensor.dim())
            batched[k] = tensor.reshape(size, *padding, *tensor.shape[1:])
    return batched
