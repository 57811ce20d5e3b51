"""Whether values are counts, as distributions ask before each log-probability: torch computes a
remainder of each, and four more tensors, which took a tenth of a step of scvi-tools' models."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from vaekern._torch import tracing_state, transforms_active

_ORIGINAL = constraints.nonnegative_integer


def are_counts(value: Any) -> bool:
    """True for what is certainly a tensor of 0, 1, 2, ...: no negative number, NaN or infinity. Of
    others, and of what nobody may look into here, somebody else is to say what they are."""
    if type(value) is not Tensor or not value.is_cpu or value.layout is not torch.strided:
        return False
    if not value.is_floating_point() or value.numel() == 0:
        return False
    if torch.compiler.is_compiling() or tracing_state() is not None or transforms_active():
        return False
    numbers = value.detach()
    low, high = torch.aminmax(torch.frac(numbers))
    return low.item() == 0.0 and high.item() == 0.0 and numbers.min().item() >= 0.0


class Counts(type(_ORIGINAL)):  # type: ignore[misc]
    """``constraints.nonnegative_integer``, quicker where all are."""

    def __init__(self) -> None:
        super().__init__(0)

    def check(self, value: Tensor) -> Tensor:
        if are_counts(value):
            return torch.ones(value.shape, dtype=torch.bool)
        checked: Tensor = _ORIGINAL.check(value)
        return checked

    def __repr__(self) -> str:
        return repr(_ORIGINAL)


COUNTS = Counts()
