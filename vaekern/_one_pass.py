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
from vaekern._cpu import new_contiguous
from vaekern._cpu import run as run_on_cpu
from vaekern._launch import accumulation_dtype, is_plain, launch
from vaekern.functional import Call


def applies(calls: Sequence[Call]) -> bool:
    """Whether this way is open: plain eager CPU code that wants gradients it can store well."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return False
    if transforms_active() or forward_mode_active():
        return False
    wanting = False
    for call in calls:
        tensors = call.op.split(call.args)[0]
        first = tensors[0]
        if not first.is_cpu or backend_for("cpu") != "cpu" or first.numel() == 0:
            return False
        if not is_plain(tensors):
            return False
        for tensor in tensors:
            # float16 gradients may underflow before the loss scale reaches them.
            if tensor.dtype is torch.float16:
                return False
            wanting = wanting or tensor.requires_grad
    return wanting


def loss(
    calls: Sequence[Call], weights: Sequence[float], composed: Callable[..., Tensor]
) -> Tensor:
    """The calls' results, summed over datapoints and weighted. ``composed(*tensors)`` computes
    the same differentiably."""
    tensors = [tensor for call in calls for tensor in call.op.split(call.args)[0]]
    result: Tensor = _OnePass.apply(calls, weights, composed, *tensors)
    return result


class _OnePass(Function):
    @staticmethod
    def forward(
        ctx: Any, calls: Sequence[Call], weights: Sequence[float], composed: Any, *tensors: Tensor
    ) -> Tensor:
        total, gradients = 0.0, []
        for call, weight in zip(calls, weights, strict=True):
            inputs, attributes = call.op.split(call.args)
            found = [new_contiguous(t, t.dtype) if t.requires_grad else None for t in inputs]
            value = torch.empty((), dtype=torch.float64)
            launch(
                run_on_cpu,
                call.op.kernel_name("value_and_vjp", attributes),
                inputs[0].shape,
                attributes[0],
                [weight, *inputs],
                [value, *found],
            )
            total += weight * value.item()
            gradients += found
        ctx.composed, ctx.n = composed, len(tensors)
        ctx.save_for_backward(*tensors, *gradients)
        return torch.full((), total, dtype=accumulation_dtype(tensors))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        saved = ctx.saved_tensors
        tensors, gradients = saved[: ctx.n], saved[ctx.n :]
        if torch.is_grad_enabled():
            return (None, None, None, *_recompute(ctx, g, tensors))
        if backward_keeps_graph():
            return (None, None, None, *[None if d is None else d * g for d in gradients])
        if g.item() != 1.0:
            for gradient in gradients:
                if gradient is not None:
                    gradient.mul_(g)
        return (None, None, None, *gradients)


def _recompute(ctx: Any, g: Tensor, tensors: Sequence[Tensor]) -> list[Tensor | None]:
    """Differentiable gradients, through views: one input may have been computed from another."""
    own = [t.view_as(t) for t in tensors]
    wanted = [k for k, needs in enumerate(ctx.needs_input_grad[3:]) if needs]
    loss = ctx.composed(*own)
    found = torch.autograd.grad(loss, [own[k] for k in wanted], g, create_graph=True)
    result: list[Tensor | None] = [None] * len(tensors)
    for k, gradient in zip(wanted, found, strict=True):
        result[k] = gradient
    return result
