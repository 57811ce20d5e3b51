"""The likelihood of counts of classes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from operations import forms, operands
from operations.case import Argument, Case
from operations.description import Description
from operations.operands import Operand, data

_NAME = "multinomial_log_likelihood"


def eager(logits: Tensor, counts: Tensor) -> Tensor:
    return forms.per_datapoint(counts * functional.log_softmax(logits, -1))


def _case(label: str, role: str, coefficient: bool) -> Case:
    arguments = Argument("logits", "logits", "classes"), Argument("counts", role, "classes")
    return Case(label, _NAME, _NAME, arguments, {"coefficient": coefficient})


DESCRIPTION = Description(
    cases=(
        _case("multinomial", "count", coefficient=False),
        _case("multinomial-uint8", "count_uint8", coefficient=False),
        _case("multinomial-coefficient", "count", coefficient=True),
    ),
    representative="multinomial",
    masks={"multinomial": "shared", "multinomial-coefficient": "full"},
    operands=(
        Operand("logits", "data", operands.normal),
        data("counts", lambda random, shape: random.uniform(shape).mul_(4.0).floor_()),
    ),
    constants={"coefficient": False},
    eager=eager,
)
