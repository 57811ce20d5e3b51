"""-ELBO with its gradient in the same pass.

The loss of a training step is one scalar, so the gradient of every term is known up to the
upstream scalar before the backward runs. On the CPU the forward therefore writes the gradients
while it has the inputs in registers: 3 numbers of traffic per element instead of 5, and one
exponential instead of two. The gradients are saved as any saved tensor is; a backward that may run
again (``retain_graph=True``) gets copies, and one that is itself differentiated recomputes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from vaekern._backend import backend_for
from vaekern._compat import backward_keeps_graph, forward_mode_active, transforms_active
from vaekern._native import is_plain, launch
from vaekern._op import Op

#: loss = sum over terms of weight * sum over datapoints of op(tensors)
Term = tuple[Op, Sequence[Any], float]


def applies(terms: Sequence[Term]) -> bool:
    """Whether this way is open: plain eager CPU code that wants gradients it can store well."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return False
    if transforms_active() or forward_mode_active():
        return False
    wanting = False
    for op, args, _ in terms:
        tensors = args[: len(op.inputs)]
        if not is_plain(tensors) or backend_for("cpu") != "cpu" or tensors[0].numel() == 0:
            return False
        for tensor in tensors:
            # float16 gradients may underflow before the loss scale reaches them.
            if tensor.dtype is torch.float16:
                return False
            wanting |= tensor.requires_grad
    return wanting


def loss(terms: Sequence[Term], composed: Callable[..., Tensor]) -> Tensor:
    """The weighted sum. ``composed(*tensors)`` computes the same differentiably."""
    tensors = [t for op, args, _ in terms for t in args[: len(op.inputs)]]
    result: Tensor = _OnePass.apply(terms, composed, *tensors)
    return result


class _OnePass(Function):
    @staticmethod
    def forward(ctx: Any, terms: Sequence[Term], composed: Any, *tensors: Tensor) -> Tensor:
        total, gradients, dtype = 0.0, [], torch.float32
        for op, args, weight in terms:
            inputs, attributes = op.split(args)
            shape = inputs[0].shape
            found = [
                torch.empty_like(t, memory_format=torch.contiguous_format)
                if t.requires_grad
                else None
                for t in inputs
            ]
            value = torch.empty((), dtype=torch.float64)
            launch(
                op.kernel_name("value_and_vjp", attributes),
                shape,
                attributes[0],
                [weight, *inputs],
                [value, *found],
            )
            total += weight * value.item()
            gradients += found
            if any([t.dtype is torch.float64 for t in inputs]):
                dtype = torch.float64
        ctx.composed, ctx.n = composed, len(tensors)
        ctx.save_for_backward(*tensors, *gradients)
        return torch.full((), total, dtype=dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        saved = ctx.saved_tensors
        tensors, gradients = saved[: ctx.n], saved[ctx.n :]
        if torch.is_grad_enabled():
            return (None, None, *_recompute(ctx, g, tensors))
        if backward_keeps_graph():
            return (None, None, *[None if d is None else d * g for d in gradients])
        if g.item() != 1.0:
            for gradient in gradients:
                if gradient is not None:
                    gradient.mul_(g)
        return (None, None, *gradients)


def _recompute(ctx: Any, g: Tensor, tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """Differentiable gradients, through views: one input may have been computed from another."""
    own = [t.view_as(t) for t in tensors]
    wanted = [k for k, needs in enumerate(ctx.needs_input_grad[2:]) if needs]
    loss = ctx.composed(*own)
    found = torch.autograd.grad(loss, [own[k] for k in wanted], g, create_graph=True)
    result: list[Tensor | None] = [None] * len(tensors)
    for k, gradient in zip(wanted, found, strict=True):
        result[k] = gradient
    return result
