"""``torch.jit.trace`` and ``__torch_function__``: operations are seen as such."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from operations.case import Case, label_of
from operations.every import ONE_PER_OP
from torch import Tensor


@pytest.mark.filterwarnings("ignore")  # torch.jit.trace is deprecated, and warns of shapes
@pytest.mark.parametrize("case", ONE_PER_OP, ids=label_of)
def test_a_trace_holds_the_operation(case: Case) -> None:
    tensors, others = case.make((4, 6)), case.make((4, 6), seed=1)

    def run(*inputs: Tensor) -> Tensor:
        return sum((r.double().sum() for r in case(*inputs)), torch.zeros(()))

    traced = torch.jit.trace(run, tensors)
    assert f"vaekern::{case.op}" in str(traced.inlined_graph)
    torch.testing.assert_close(traced(*others), run(*others))


class _Names(torch.overrides.TorchFunctionMode):
    def __init__(self) -> None:
        self.names: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("case", ONE_PER_OP, ids=label_of)
def test_a_mode_sees_the_operation(case: Case) -> None:
    tensors = case.make((4, 6))
    with _Names() as mode:
        case(*tensors)
    assert f"vaekern.{case.op}.default" in mode.names
