"""The fast path of few outputs: the layer, then the likelihood of all that it gives.

What fits into the first cache is not worth cutting, and where there is so little arithmetic a
call's own cost is all there is. As anywhere, this path has no semantics of its own: what is
irregular is left to the one with all checks and messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling
from torch.nn import functional

from vaekern._backends.launch import is_plain
from vaekern._ops.elementwise import Op
from vaekern._torch import autocast_enabled
from vaekern._validation import switch

#: Outputs of all rows.
_MOST = 2**14


class Given(NamedTuple):
    """Arguments that nobody has checked: hidden, weight and bias, the likelihood's other tensors,
    its attributes but batch_dims."""

    layer: tuple[Tensor, Tensor, Tensor | None]
    others: Sequence[Any]
    attributes: Sequence[Any] = ()


def attempt(op: Op, given: Given, reduction: str, batch_dims: int) -> Tensor | None:
    """The likelihood of the layer's outputs, without a mask; None where anything is irregular."""
    if is_dynamo_compiling() or switch.enabled or not _is_regular(given.layer, batch_dims):
        return None
    hidden = given.layer[0]
    if op.kept and not hidden.is_cpu:  # GPUs do not look at classes
        return None
    if reduction == "none":
        return _value(op, given, 1)
    if reduction not in ("sum", "mean") or any([_is_vector(other) for other in given.others[:-1]]):
        return None
    total = _value(op, given, 0)
    return total if total is None or reduction == "sum" else total * (1.0 / hidden.shape[0])


def _value(op: Op, given: Given, batch_dims: int) -> Tensor | None:
    outputs = functional.linear(*given.layer)
    found: Tensor | None = op.attempt(outputs, *given.others, None, batch_dims, *given.attributes)
    return found


def _is_regular(layer: tuple[Tensor, Tensor, Tensor | None], batch_dims: int) -> bool:
    hidden, weight, bias = layer
    tensors = (hidden, weight) if bias is None else (hidden, weight, bias)
    if batch_dims != 1 or not is_plain(tensors) or not all(map(torch.is_tensor, tensors)):
        return False
    shape, outputs = hidden.shape, weight.shape
    if len(shape) != 2 or len(outputs) != 2 or shape[1] != outputs[1]:
        return False
    if not 0 < shape[0] * outputs[0] <= _MOST or (bias is not None and bias.shape != outputs[:1]):
        return False
    kind = hidden.dtype, hidden.device, torch.strided
    alike = all([(t.dtype, t.device, t.layout) == kind for t in tensors])
    return alike and not autocast_enabled(hidden)


def _is_vector(other: object) -> bool:
    """Whether, without datapoints, its dimensions would be taken for others."""
    return isinstance(other, Tensor) and other.dim() == 1
