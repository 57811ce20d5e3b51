"""The deviation that ``logvar`` encodes, by ``scale``."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["beside", "deviations", "inverse_std", "log_std", "log_variance", "std"]


def log_std(s: Tensor, scale: str) -> Tensor:
    """h = log of the standard deviation that ``s`` encodes."""
    return s if scale == "log_std" else 0.5 * s if scale == "logvar" else s.log()


def log_variance(s: Tensor, scale: str) -> Tensor:
    """v = log of the variance that ``s`` encodes."""
    return s if scale == "logvar" else 2.0 * log_std(s, scale)


def std(s: Tensor, scale: str) -> Tensor:
    """The standard deviation that ``s`` encodes."""
    return s if scale == "std" else log_std(s, scale).exp()


def inverse_std(s: Tensor, scale: str) -> Tensor:
    """1 / the standard deviation that ``s`` encodes. Where that is an exponential, which is never
    0, so is this: an infinite distance stays one."""
    if scale == "std":
        return 1.0 / s
    smallest = torch.finfo(s.dtype).smallest_normal * torch.finfo(s.dtype).eps
    return torch.exp(-log_std(s, scale)).clamp(min=smallest)


def deviations(a: Tensor, b: Tensor, s: Tensor, scale: str) -> Tensor:
    """(a - b) / the standard deviation that ``s`` encodes; 0 where a = b, for any of them."""
    distance = a - b
    irrelevant = (distance == 0) & ~torch.isnan(s)
    unit = 1.0 if scale == "std" else 0.0
    return distance * inverse_std(torch.where(irrelevant, unit, s), scale)


def beside(u: Tensor, s: Tensor, scale: str) -> Tensor:
    """``s``, but that of a deviation of 1 where ``u``, in units of what ``s`` encodes, is infinite
    and outgrows the logarithm of that."""
    return torch.where(u.isinf(), 1.0 if scale == "std" else 0.0, s)
