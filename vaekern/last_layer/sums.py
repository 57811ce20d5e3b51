"""The sum over all datapoints of a linear layer's log-likelihood, with its gradients in the same
pass: three matrix products, as the composed functions make, instead of four.

What the forward stores are the gradients themselves, which the backward would allocate anyway; the
rest is as in ``one_pass.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._ops import one_pass
from vaekern.last_layer.op import LinearOp


def applies(op: LinearOp, args: Sequence[Any]) -> bool:
    """Whether this way is open."""
    tensors, _, _ = op.split(args)
    return tensors[1].numel() > 0 and one_pass.applies_to([tensors])


def weighted_sum(op: LinearOp, args: Sequence[Any], weight: float) -> Tensor:
    """The sum of all rows' values, times ``weight``."""
    tensors, _, attributes = op.split(args)

    def composed(*own: Tensor) -> Tensor:
        return op(*own, *attributes).sum() * weight

    result: Tensor = _Sum.apply(op, attributes, weight, composed, *tensors)
    return result


class _Sum(one_pass.StoredGradients):
    @staticmethod
    def forward(
        ctx: Any,
        op: LinearOp,
        attributes: Sequence[Any],
        weight: float,
        composed: Callable[..., Tensor],
        *tensors: Tensor,
    ) -> Tensor:
        hidden, wanted = tensors[0], [t.requires_grad for t in tensors]
        wide = accumulation_dtype(tensors)
        g = hidden.new_full((), weight, dtype=wide).expand(hidden.shape[0])
        value, found = op.value_and_gradients(g, (*tensors, *attributes), wanted)
        pieces = iter(found)
        gradients = [next(pieces) if want else None for want in wanted]
        _Sum.save(ctx, composed, tensors, gradients)
        return (value.sum() * weight).to(wide)
