"""An operation with checked arguments, and how it runs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from vaekern._backends.choice import backend_for
from vaekern._checks import check_mask, check_number
from vaekern._ops.elementwise import Op
from vaekern._validation import checks, switch

Clamp = tuple[float, float]


class Call:
    """An operation and its checked arguments: inputs, then attributes, without the backend."""

    __slots__ = ("attributes", "inputs", "mask", "op")

    def __init__(self, op: Op, *args: Any, mask: Tensor | None = None) -> None:
        n = len(op.inputs)
        self.op = op
        self.inputs: tuple[Tensor, ...] = args[:n]
        self.mask = mask
        self.attributes = args[n:]

    @property
    def dims(self) -> int:
        """How many dimensions there are to sum over, those of datapoints included."""
        return self.inputs[0].dim()

    def masked(self, mask: Tensor | None) -> Call:
        """The same, of the elements in the mask alone, if there is one."""
        if mask is None:
            return self
        check_mask("mask", mask, self.op.inputs[0], self.inputs[0])
        return Call(self.op, *self.inputs, *self.attributes, mask=mask)

    def of_datapoints(self, present: Tensor | None) -> Call:
        """The same, of some of the datapoints alone: ``present`` is bool, one for each."""
        if present is None:
            return self
        events = self.inputs[0].dim() - present.dim()
        mask = present.reshape(*present.shape, *(1,) * events)
        if self.mask is not None:
            mask = mask & self.mask
        return self.again(*self.inputs, *self.attributes, mask=mask)

    def of(self, *inputs: Tensor) -> Call:
        """The same, of other inputs."""
        return self.again(*inputs, *self.attributes, mask=self.mask)

    def again(self, *args: Any, mask: Tensor | None) -> Call:
        """One of the same kind. (Not ``type(self)(...)``, which dynamo of torch 2.6 does not
        trace.)"""
        return Call(self.op, *args, mask=mask)


def run(call: Call) -> Any:
    """The call's results, on the backend for its tensors."""
    if switch.enabled:
        check_values(call)
    backend = backend_for(call.inputs[0].device)
    if backend == "reference":
        return call.op.on_plain_torch(call.inputs, call.mask, call.attributes)
    return call.op(*call.inputs, *call.op.mask_slot(call.mask), *call.attributes, backend)


def check_values(call: Call) -> None:
    """What :func:`vaekern.validate` checks."""
    op = call.op
    scale = call.attributes[1] if op.scaled else "logvar"
    tensors = dict(zip(op.inputs, call.inputs, strict=True))
    checks.check(op.name, checks.Values(tensors, call.mask, scale))


def known_clamp(bounds: Clamp | None) -> Clamp | None:
    """Bounds of log-variances, checked."""
    if bounds is None:
        return None
    if not isinstance(bounds, (tuple, list)) or len(bounds) != 2:
        raise TypeError(f"logvar_clamp: expected a tuple (low, high) of numbers, got {bounds!r}")
    low, high = (check_number("logvar_clamp", bound) for bound in bounds)
    if not low <= high:
        raise ValueError(f"logvar_clamp: expected (low, high) with low <= high, got {bounds}")
    return low, high


def clamp_logvar(logvar: Tensor, scale: str, bounds: Clamp | None) -> Tensor:
    bounds = known_clamp(bounds)
    if bounds is None:
        return logvar
    low, high = bounds
    if scale == "log_std":
        low, high = 0.5 * low, 0.5 * high
    elif scale == "std":
        low, high = _exp(0.5 * low), _exp(0.5 * high)
    most = torch.finfo(logvar.dtype).max
    low, high = (b if math.isinf(b) else max(-most, min(most, b)) for b in (low, high))
    return torch.clamp(logvar, low, high)  # which refuses finite bounds beyond the dtype


def _exp(x: float) -> float:
    return math.exp(x) if x < 709.0 else math.inf
