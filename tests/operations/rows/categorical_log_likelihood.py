"""The likelihood of classes."""

from __future__ import annotations

from torch import Tensor, distributions
from torch.nn import functional

from operations import forms, operands
from operations.case import Argument, Case
from operations.description import Description
from operations.operands import Operand, data

_NAME = "categorical_log_likelihood"


def eager(logits: Tensor, x: Tensor) -> Tensor:
    log_p = functional.log_softmax(logits, -1)
    return forms.per_datapoint(log_p.gather(-1, x.unsqueeze(-1)))


def of_functional(logits: Tensor, x: Tensor) -> Tensor:
    return -functional.cross_entropy(logits, x, reduction="none")


def of_distributions(logits: Tensor, x: Tensor) -> Tensor:
    return distributions.Categorical(logits=logits, validate_args=False).log_prob(x)


DESCRIPTION = Description(
    cases=tuple(
        Case(label, _NAME, _NAME, (Argument("logits", "logits", "classes"), Argument("x", role)))
        for role, label in (("class", "categorical"), ("class_uint8", "categorical-uint8"))
    ),
    representative="categorical",
    masks={"categorical": "full"},
    # Classes are the last dimension of the data; of x there is one for each row.
    operands=(
        Operand("logits", "data", operands.normal),
        data("x", lambda random, shape: random.uniform(shape).argmax(-1), is_full=False),
    ),
    eager=eager,
    functional=of_functional,
    distributions=of_distributions,
)
