"""A linear layer's log-likelihood of what a mask says counts: chunk by chunk too, each a checkpoint
of the composed functions, whose kernels take masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from vaekern._backends.launch import accumulation_dtype
from vaekern._checks import check_mask
from vaekern._ops.call import Call, run
from vaekern._ops.elementwise import Op
from vaekern._torch import forward_mode_active, transforms_active
from vaekern._validation import checks
from vaekern.last_layer.chunks import columns_at_a_time
from vaekern.last_layer.heads import Head


def elements(
    op: Op,
    layer: Sequence[Tensor],
    of_head: Sequence[Tensor],
    attributes: Sequence[Any],
    mask: Tensor,
    chunk: int | None,
) -> Tensor:
    """One number for each row of hidden [rows, features], of the outputs in the mask [rows, n].
    Those of ``of_head`` that have n columns are cut as the outputs are."""
    hidden, weight, bias = layer
    # Of a row without an element that counts, as of padding, nothing may reach another gradient.
    hidden = hidden.masked_fill(~mask.any(-1, keepdim=True), 0.0)
    n, wide = weight.shape[0], accumulation_dtype((hidden, *of_head))
    width = max(1, min(n, chunk or columns_at_a_time(hidden)))
    # Its gradient is a sum over chunks, to be rounded once.
    summed_wide = hidden.to(accumulation_dtype((hidden,)))

    def value(weight: Tensor, bias: Tensor, mask: Tensor, *of_head: Tensor) -> Tensor:
        outputs = functional.linear(summed_wide.to(hidden.dtype), weight, bias)
        call = Call(op, outputs, *of_head, 1, *attributes, mask=mask)
        result: Tensor = run(call)
        return result

    cut = [weight.split(width), bias.split(width), mask.split(width, dim=1)]
    for tensor in of_head:
        is_cut = tensor.dim() > 0 and tensor.shape[-1] == n
        cut.append(tensor.split(width, dim=-1) if is_cut else (tensor,) * len(cut[0]))
    total = hidden.new_zeros(hidden.shape[0], dtype=torch.float64)
    for pieces in zip(*cut, strict=True):
        total = total + _recomputed(value, *pieces)
    return total.to(wide)


def rows(
    layer: tuple[Tensor, Tensor, Tensor], x: Tensor, mask: Tensor
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """The layer and targets with nothing to fear in the rows outside the mask [rows]."""
    hidden, weight, bias = layer
    outside = ~mask.reshape(-1, 1)
    return (hidden.masked_fill(outside, 0.0), weight, bias), x.masked_fill(outside, 0)


def _recomputed(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """With nothing stored; torch.func and forward mode know no such thing."""
    if not torch.is_grad_enabled() or transforms_active() or forward_mode_active():
        return function(*tensors)
    result: Tensor = checkpoint(function, *tensors, use_reentrant=False)
    return result


def expanded_mask(mask: Tensor | None, x: Tensor) -> Tensor | None:
    """Checked, and of the shape of x."""
    if mask is None:
        return None
    check_mask("mask", mask, "x", x)
    return mask.expand(x.shape)


def check_values(
    head: Head,
    layer: tuple[Tensor, Tensor, Tensor],
    of_head: tuple[Tensor, ...],
    attributes: tuple[Any, ...],
    mask: Tensor | None,
) -> None:
    """What :func:`vaekern.validate` checks of the layer, the targets and a scale."""
    hidden, weight, bias = layer
    in_rows = None if mask is None else mask.reshape(of_head[-1].shape)
    counted = None if in_rows is None else in_rows.any(-1, keepdim=True)
    checks.check_numbers(counted, hidden=hidden, weight=weight, bias=bias)
    named = dict(zip(reversed(head.inputs), reversed(of_head), strict=True))  # x first
    scale = attributes[0] if attributes else "logvar"
    checks.check(head.name, checks.Values(named, in_rows, scale, weight.shape[0]))
