"""Samples of relaxed categorical distributions."""

from __future__ import annotations

from torch import Tensor, distributions
from torch.nn import functional

from operations.case import Argument, Case
from operations.description import Description
from operations.operands import Operand, normal

_NAME = "gumbel_softmax"
TEMPERATURE = 0.7


def eager(logits: Tensor) -> Tensor:
    return functional.gumbel_softmax(logits, TEMPERATURE)


def of_distributions(logits: Tensor) -> Tensor:
    return distributions.RelaxedOneHotCategorical(
        logits.new_full((), TEMPERATURE), logits=logits, validate_args=False
    ).rsample()


def _case(label: str, **constants: object) -> Case:
    arguments = Argument("logits", "logits", "classes"), Argument("seed", "seed")
    return Case(label, _NAME, _NAME, arguments, constants)


DESCRIPTION = Description(
    cases=(
        _case(f"{_NAME}-soft", temperature=TEMPERATURE),
        _case(f"{_NAME}-hard", temperature=2.0, hard=True),
    ),
    representative=f"{_NAME}-soft",
    operands=(Operand("logits", "latent", normal),),
    constants={"temperature": TEMPERATURE},
    eager=eager,
    distributions=of_distributions,
)
