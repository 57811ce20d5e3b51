"""The derivatives of an operation by way of its vjp and of plain torch: of every input, of the vjp
itself, and in forward mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from vaekern._backends.launch import accumulation_dtype
from vaekern._ops.base import ELEMENT, Operation


def gradients_of_inputs(
    op: Operation,
    gradients: Sequence[Tensor | None],
    read: Sequence[Tensor],
    mask: Tensor | None,
    wanted: Sequence[bool],
    attributes: Sequence[Any],
) -> list[Tensor | None]:
    """The gradient of every input, None where it is not ``wanted``."""
    found = [gradients[0] if want else None for want in wanted]
    kernel_wants = [wanted[k] for k in op.vjp_inputs]
    if any(kernel_wants):
        slot = op.mask_slot(mask)
        computed = iter(op.vjp(*gradients, *read, *slot, kernel_wants, *attributes))
        for k, want in zip(op.vjp_inputs, kernel_wants, strict=True):
            found[k] = next(computed) if want else None
    return found


def plain_vjp(op: Operation, *args: Any) -> tuple[Tensor, ...]:
    """What the vjp kernel computes, in differentiable torch operations. What the forward kept is
    computed anew."""
    gradients, read, mask, wanted, attributes = op.split_vjp(args)
    unread = read[0].new_zeros(()).expand(read[0].shape)  # the vjp does not depend on it
    inputs = [unread] * len(op.inputs)
    for k, tensor in zip(op.vjp_inputs, read[: len(op.vjp_inputs)], strict=True):
        inputs[k] = tensor
    at = [k for k, want in zip(op.vjp_inputs, wanted, strict=True) if want]

    def of_wanted(*values: Tensor) -> Any:
        for k, value in zip(at, values, strict=True):
            inputs[k] = value
        return op.on_plain_torch(inputs, mask, attributes[:-1])

    results, pull_back, *_ = torch.func.vjp(of_wanted, *[inputs[k] for k in at])
    if isinstance(results, Tensor):
        return pull_back(gradients[0])
    return pull_back(
        tuple(
            torch.zeros_like(result) if g is None else g
            for g, result in zip(gradients, results, strict=True)
        )
    )


def push_forward(
    op: Operation,
    tensors: Sequence[Tensor],
    mask: Tensor | None,
    tangents: Sequence[Tensor | None],
    attributes: Sequence[Any],
) -> Any:
    """The results' tangents. A result's element depends on one element of each input, so the
    partial derivatives are the vjp of ones."""
    tensors, kept = tensors[: len(op.inputs)], tensors[len(op.inputs) :]
    if op.mixes_elements:
        return _plain_push_forward(op, tensors, mask, tangents, attributes)
    shape, batch_dims = tensors[0].shape, attributes[0]
    read = [tensors[k] for k in op.vjp_inputs]
    spread = op.broadcasts
    full = [t.expand(shape) if spread and t.is_floating_point() else t for t in read] + [*kept]
    wanted = [tangent is not None for tangent in tangents]
    wide = accumulation_dtype(tensors)
    pushed = []
    for k, kind in enumerate(op.results):
        ones: list[Tensor | None] = [None] * len(op.results)
        size = shape if kind is ELEMENT else shape[:batch_dims]
        ones[k] = torch.ones(size, dtype=wide, device=tensors[0].device)
        total: Any = torch.zeros((), dtype=wide, device=tensors[0].device)
        partials = gradients_of_inputs(op, ones, full, mask, wanted, attributes)
        for partial, tangent in zip(partials, tangents, strict=True):
            if partial is not None and tangent is not None:
                total = total + partial * tangent
        if mask is not None:  # tangents may be anything elsewhere
            total = total.expand(shape).masked_fill(~mask, 0.0)
        if kind is ELEMENT:
            total = total.to(torch.promote_types(tensors[0].dtype, tensors[1].dtype))
        elif len(shape) > batch_dims:
            total = total.sum(tuple(range(batch_dims, len(shape))))
        pushed.append(total)
    pushed += [None] * len(kept)
    return tuple(pushed) if len(pushed) > 1 else pushed[0]


def _plain_push_forward(
    op: Operation,
    tensors: Sequence[Tensor],
    mask: Tensor | None,
    tangents: Sequence[Tensor | None],
    attributes: Sequence[Any],
) -> Any:
    at = [k for k, tangent in enumerate(tangents) if tangent is not None]

    def function(*values: Tensor) -> Any:
        inputs = list(tensors)
        for k, value in zip(at, values, strict=True):
            inputs[k] = value
        return op.on_plain_torch(inputs, mask, attributes[:-1])

    moved = [t.to(tensors[k].dtype) for k, t in enumerate(tangents) if t is not None]
    return pushed_by_pulling(function, [tensors[k] for k in at], moved)


def pushed_by_pulling(
    function: Callable[..., Any], values: Sequence[Tensor], tangents: Sequence[Tensor]
) -> Any:
    """The tangents of a function's results, by pulling back twice, as forward mode does not nest:
    what is pulled back is linear in the results' gradients, and its derivative, pulled back along
    the tangents, theirs pushed forward."""
    results, pull_back, *_ = torch.func.vjp(function, *values)
    nothing = pytree.tree_map(torch.zeros_like, results)
    _, push, *_ = torch.func.vjp(pull_back, nothing)
    return push(tuple(tangents))[0]
