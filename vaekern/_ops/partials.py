"""A value with its derivatives in the same pass, for code that is being compiled.

The gradient of a datapoint's value is its upstream gradient times partial derivatives, which the
kernel finds along with the value: 3 numbers of traffic per element instead of 5, and one call out
of the compiled code instead of two. The product is a part of the loop that the compiler makes of
what surrounds it. (In eager code it would be a pass of its own; see ``one_pass.py`` for that.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from vaekern._ops.base import Operation
from vaekern._ops.derivatives import gradients_of_inputs
from vaekern._torch import below_autograd, compiled_into_graph


def applies(op: Operation, args: Sequence[Any]) -> bool:
    """Whether this way is open: each input that wants a gradient has numbers of its own for each
    datapoint. (With a mask, an infinite upstream gradient times 0 would not be 0.)"""
    if op.partials_op is None or not compiled_into_graph():
        return False
    tensors, mask, attributes = op.split(args)
    batch_dims, dims = attributes[0], tensors[0].dim()
    datapoints = tensors[0].shape[:batch_dims]
    return mask is None and all(
        [t.dim() == dims and t.shape[:batch_dims] == datapoints for t in tensors if t.requires_grad]
    )


class WithPartials(Function):
    @staticmethod
    def forward(ctx: Any, op: Operation, *args: Any) -> Tensor:
        tensors, _, attributes = op.split(args)
        wanted = list(ctx.needs_input_grad[1 : 1 + len(tensors)])
        value: Tensor
        with below_autograd():
            value, *partials = op.partials_op(wanted, *args)
        ctx.op, ctx.attributes = op, attributes
        ctx.save_for_backward(*tensors, *partials)
        return value

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        op: Operation = ctx.op
        n = len(op.inputs)
        tensors, partials = ctx.saved_tensors[:n], iter(ctx.saved_tensors[n:])
        wanted = ctx.needs_input_grad[1 : 1 + n]
        found: list[Tensor | None]
        if torch.is_grad_enabled():
            found = gradients_of_inputs(op, (g,), tensors, None, wanted, ctx.attributes)
        else:
            spread = g.reshape(*g.shape, *(1,) * (tensors[0].dim() - g.dim()))
            found = [
                (spread * next(partials)).to(t.dtype) if want else None
                for t, want in zip(tensors, wanted, strict=True)
            ]
        return (None, *found, *op.mask_slot(None), *(None,) * len(ctx.attributes))
