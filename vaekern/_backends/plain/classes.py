"""Likelihoods of classes and of counts of them, whose logits lie along the last dimension."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._backends.plain.elements import per_datapoint, widen


def categorical_log_likelihood(logits: Tensor, x: Tensor, batch_dims: int) -> Tensor:
    (logits,) = widen(logits)
    selected = logits.gather(-1, x.long())
    return per_datapoint(selected - logits.logsumexp(-1, keepdim=True), batch_dims)


def multinomial_log_likelihood(logits: Tensor, counts: Tensor, batch_dims: int) -> Tensor:
    logits, counts = widen(logits, counts)
    log_p = logits - logits.logsumexp(-1, keepdim=True)
    nothing = (counts == 0) & ~torch.isfinite(log_p)  # 0 * inf counts as 0
    return per_datapoint(counts * torch.where(nothing, 0.0, log_p), batch_dims)
