"""Likelihoods of classes and of counts of them, whose logits lie along the last dimension."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._backends.plain.elements import below_top, per_datapoint, widen

__all__ = ["categorical_log_likelihood", "multinomial_log_likelihood"]


def categorical_log_likelihood(logits: Tensor, x: Tensor, batch_dims: int) -> Tensor:
    (logits,) = widen(logits)
    return per_datapoint(log_probabilities(logits).gather(-1, x.long()), batch_dims)


def multinomial_log_likelihood(logits: Tensor, counts: Tensor, batch_dims: int) -> Tensor:
    logits, counts = widen(logits, counts)
    log_p = log_probabilities(logits)
    nothing = (counts == 0) & ~torch.isfinite(log_p)  # 0 * inf counts as 0
    return per_datapoint(counts * torch.where(nothing, 0.0, log_p), batch_dims)


def log_probabilities(logits: Tensor) -> Tensor:
    """``torch.log_softmax`` but for infinite logits: a class of +inf leaves nothing to others."""
    below, _ = below_top(logits, -1)
    return below - below.logsumexp(-1, keepdim=True)
