"""Cross-entropy of probabilities as torch's ``binary_cross_entropy`` has it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from vaekern._backends.launch import is_plain
from vaekern._torch import autocast_enabled, transforms_active
from vaekern.compat._tensors import fusable
from vaekern.functional import bernoulli_probs_log_likelihood


def cross_entropy(probs: Tensor, x: Tensor, batch_dims: int) -> Tensor:
    """Summed over all dimensions but the first ``batch_dims``, with torch's clamps. What is no
    floating-point tensor is left to torch, which refuses it.

    Raises:
        RuntimeError: something in ``probs`` is outside [0, 1] or NaN, or ``x`` has a NaN. Like
            torch's, this check is for CPU tensors in eager code; it reads the result alone.
    """
    if not fusable(probs, x):
        elements = F.binary_cross_entropy(probs, x, reduction="none")
        return elements.flatten(batch_dims).sum(-1)
    log_likelihood = bernoulli_probs_log_likelihood(probs, x, batch_dims=batch_dims)
    _check_probabilities(log_likelihood)
    return -log_likelihood.to(_dtype(probs))


def _check_probabilities(log_likelihood: Tensor) -> None:
    """By the NaN that they become; where the memory is at hand."""
    if torch.compiler.is_compiling() or transforms_active() or not log_likelihood.is_cpu:
        return
    if not is_plain((log_likelihood,), profiled=True):
        return
    total = log_likelihood.detach().sum() if log_likelihood.dim() else log_likelihood
    if math.isnan(total.item()):
        raise RuntimeError("recon_x: expected probabilities between 0 and 1, got others (or x NaN)")


def _dtype(probs: Tensor) -> torch.dtype:
    """Autocast runs the cross-entropy in float32."""
    if autocast_enabled(probs):
        return torch.promote_types(probs.dtype, torch.float32)
    return probs.dtype
