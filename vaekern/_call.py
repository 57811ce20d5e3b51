"""An operation with checked arguments, and how it runs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from vaekern._backend import backend_for
from vaekern._op import Op

Clamp = tuple[float, float]


class Call:
    """An operation and its checked arguments."""

    __slots__ = ("args", "op")

    def __init__(self, op: Op, *args: Any) -> None:
        self.op = op
        self.args = args


def run(call: Call) -> Any:
    """The call's results, on the backend for its tensors."""
    backend = backend_for(call.args[0].device.type)
    if backend == "reference":
        return call.op.plain(*call.args)
    return call.op(*call.args, backend)


def clamp_logvar(logvar: Tensor, scale: str, bounds: Clamp | None) -> Tensor:
    if bounds is None:
        return logvar
    low, high = bounds
    if not low <= high:
        raise ValueError(f"logvar_clamp: expected (low, high) with low <= high, got {bounds}")
    if scale == "log_std":
        low, high = 0.5 * low, 0.5 * high
    elif scale == "std":
        low, high = math.exp(0.5 * low), math.exp(0.5 * high)
    return torch.clamp(logvar, low, high)
