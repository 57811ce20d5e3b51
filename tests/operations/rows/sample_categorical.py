"""Samples of categorical distributions."""

from __future__ import annotations

import torch
from torch import Tensor, distributions
from torch.nn import functional

from operations.case import Argument, Case
from operations.description import Description
from operations.operands import Operand, normal

_NAME = "sample_categorical"
UNIMIX = 0.01


def eager(logits: Tensor) -> Tensor:
    """As the ports of DreamerV3 have it."""
    probabilities = functional.softmax(logits, -1)
    probabilities = (1.0 - UNIMIX) * probabilities + UNIMIX / logits.shape[-1]
    rows = probabilities.detach().flatten(0, -2).float()
    drawn = torch.multinomial(rows, 1).reshape(logits.shape[:-1])
    one_hot = functional.one_hot(drawn, logits.shape[-1]).to(logits.dtype)
    return one_hot + (probabilities - probabilities.detach())


def of_distributions(logits: Tensor) -> Tensor:
    probabilities = functional.softmax(logits, -1)
    probabilities = (1.0 - UNIMIX) * probabilities + UNIMIX / logits.shape[-1]
    return distributions.OneHotCategoricalStraightThrough(
        probs=probabilities, validate_args=False
    ).rsample()


def _case(label: str, unimix: float) -> Case:
    arguments = Argument("logits", "logits", "classes"), Argument("seed", "seed")
    return Case(label, _NAME, _NAME, arguments, {"unimix": unimix})


DESCRIPTION = Description(
    cases=(_case(_NAME, 0.0), _case(f"{_NAME}-unimix", 0.1)),
    representative=f"{_NAME}-unimix",
    operands=(Operand("logits", "latent", normal),),
    constants={"unimix": UNIMIX},
    eager=eager,
    distributions=of_distributions,
)
