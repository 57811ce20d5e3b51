"""What the operations are made of: their inputs as numbers, sums per datapoint, masks, series."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["below_top", "image", "log_sum_exp", "per_datapoint", "widen", "within", "within_rows"]


def widen(*tensors: Tensor) -> tuple[Tensor, ...]:
    """In the dtype of the arithmetic: float64 if any is, else float32."""
    wide = torch.float64 if any(t.dtype is torch.float64 for t in tensors) else torch.float32
    return tuple(t.to(wide) for t in tensors)


def per_datapoint(elements: Tensor, batch_dims: int) -> Tensor:
    """Sums over the event dimensions."""
    if elements.dim() == batch_dims:
        return elements
    return elements.flatten(batch_dims).sum(-1)


def within(
    mask: Tensor,
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    batch_dims: int,
    *others: Any,
) -> Tensor:
    """One of the operations, of the elements in the mask alone. What lies elsewhere is replaced
    beforehand, by a number that every argument may be: it reaches no gradient either."""
    shape, outside = inputs[0].shape, ~mask
    inside = [t.expand(shape).masked_fill(outside, 1) for t in inputs]
    elements = function(*inside, len(shape), *others)
    return per_datapoint(elements.masked_fill(outside, 0.0), batch_dims)


def within_rows(
    mask: Tensor,
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    batch_dims: int,
    *others: Any,
) -> Tensor:
    """The same of a function of whole rows, and a mask of them: with 1 for its last dimension."""
    rows_shape, outside = inputs[0].shape[:-1], ~mask
    inside = [t.expand(*rows_shape, t.shape[-1]).masked_fill(outside, 0) for t in inputs]
    rows = function(*inside, mask.dim() - 1, *others)
    return per_datapoint(rows.masked_fill(outside.squeeze(-1), 0.0), batch_dims)


def image(x: Tensor, like: Tensor, uint8_range: str = "unit") -> Tensor:
    """Targets as floats: booleans 0 and 1, bytes by their range (``launch.Bytes``)."""
    if x.is_floating_point():
        return x
    number = x.to(like.dtype)
    if x.dtype is not torch.uint8 or uint8_range in ("count", "binary"):
        return number
    return number / 255.0 if uint8_range == "unit" else 2.0 * (number / 255.0) - 1.0


def power_series(x: Tensor, terms: Sequence[float]) -> Tensor:
    """terms[0] + terms[1] x + terms[2] x^2 + ..."""
    total = torch.full_like(x, terms[-1])
    for term in reversed(terms[:-1]):
        total = total * x + term
    return total


def sigmoid(t: Tensor) -> Tensor:
    """``torch.sigmoid``, of which the derivative y (1 - y) has no digits left where y is nearly
    1."""
    positive = t >= 0
    small = torch.exp(-torch.where(positive, t, -t))
    return torch.where(positive, 1.0, small) / (1.0 + small)


def expm1(t: Tensor) -> Tensor:
    """``torch.expm1``, of which the derivative, the result + 1, has no digits left where that is
    nearly -1."""
    low = t < -1.0
    near = torch.expm1(torch.where(low, 0.0, t))
    return torch.where(low, torch.exp(torch.where(low, t, 0.0)) - 1.0, near)


def difference(a: Tensor, b: Tensor | float) -> tuple[Tensor, Tensor]:
    """a - b, and what rounding it lost (Knuth's two-sum), a constant: 0 at infinities."""
    value = a - b
    with torch.no_grad():
        less_b = value - a
        lost = (a - (value - less_b)) - (b + less_b)
        return value, torch.where(lost.isfinite(), lost, 0.0)


def below_top(t: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """t less its maximum along ``dim``, and that, a constant. What depends on differences alone
    keeps its digits then, wherever t lies: the gradients of ``torch.logsumexp``, which are to sum
    to 1, are e^(t - result) with a result rounded to its own magnitude."""
    top = t.detach().amax(dim, keepdim=True)
    top = torch.where(top.isfinite(), top, 0.0)
    return t - top, top


def log_sum_exp(t: Tensor, dim: int) -> Tensor:
    below, top = below_top(t, dim)
    return top.squeeze(dim) + torch.logsumexp(below, dim)


def near_zero(x: Tensor, bound: float) -> tuple[Tensor, Tensor, Tensor]:
    """Where abs(x) < bound; x there, 0 elsewhere; x elsewhere, 1 there. Each branch of a ``where``
    then sees arguments it can differentiate."""
    near = x.abs() < bound
    return near, torch.where(near, x, 0.0), torch.where(near, 1.0, x)
