"""Squared distances of all pairs of two sets of points, from differences: they do not depend on
where the points lie, as |a|^2 + |b|^2 - 2 ab in finite precision does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

_ELEMENTS_AT_A_TIME = 2**20  # some MiB for each of a few temporaries


def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Of points a [N, D] and b [M, D]: [N, M]. Gives gradients to both."""
    if torch.compiler.is_compiling():  # which fuses the differences into their sum
        return (a[:, None] - b).square().sum(2)
    distances: Tensor = _SquaredDistances.apply(a, b)
    return distances


class _SquaredDistances(Function):
    """The differences [N, M, D] are made some rows at a time, forward and backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([d.square().sum(2) for d in _differences(a, b)])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        a, b = ctx.saved_tensors
        d_a, d_b, start = [], torch.zeros_like(b), 0
        for differences in _differences(a, b):
            rows = slice(start, start + differences.shape[0])
            pulls = 2.0 * g[rows, :, None] * differences
            d_a.append(pulls.sum(1))
            d_b = d_b - pulls.sum(0)
            start = rows.stop
        return torch.cat(d_a), d_b

    @staticmethod
    def jvp(ctx: Any, t_a: Tensor | None, t_b: Tensor | None) -> Tensor:
        a, b = ctx.saved_tensors
        t_a = torch.zeros_like(a) if t_a is None else t_a
        t_b = torch.zeros_like(b) if t_b is None else t_b
        pairs = zip(_differences(a, b), _differences(t_a, t_b), strict=True)
        return torch.cat([2.0 * (d * t).sum(2) for d, t in pairs])


def _differences(a: Tensor, b: Tensor) -> Iterator[Tensor]:
    """a - b of some points of the first set and all of the second at a time."""
    size = max(1, _ELEMENTS_AT_A_TIME // max(1, b.numel()))
    for rows in a.split(size):
        yield rows[:, None] - b
