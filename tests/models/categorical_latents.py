"""Logits of a few variables, and torch's distributions of them to compare with."""

from __future__ import annotations

import torch
from loss_problem import normal
from torch import Tensor
from torch.distributions import Independent, OneHotCategorical

B, V, K = 3, 2, 5  # datapoints, variables, classes
TEMPERATURE = 0.7


def logits(seed: int = 0, *batch: int) -> Tensor:
    return (2.0 * normal(*(batch or (B,)), V, K, seed=seed)).requires_grad_()


def torchs(raw: Tensor, unimix: float = 0.0) -> Independent:
    probs = (1.0 - unimix) * torch.softmax(raw, -1) + unimix / K
    return Independent(OneHotCategorical(probs=probs), 1)


def agree(found: Tensor, expected: Tensor, leaves: list[Tensor]) -> None:
    torch.testing.assert_close(found, expected)
    weights = normal(*found.shape, seed=99)
    torch.testing.assert_close(
        torch.autograd.grad((weights * found).sum(), leaves, retain_graph=True),
        torch.autograd.grad((weights * expected).sum(), leaves, retain_graph=True),
    )
