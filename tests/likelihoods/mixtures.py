"""Mixtures of discretized logistics to test with."""

from __future__ import annotations

import torch
from torch import Tensor


def draw(
    batch: tuple[int, ...], components: int, pixels: tuple[int, ...], seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Parameters in float64, some log-scales below the bound, and levels, many at the ends."""
    generator = torch.Generator().manual_seed(seed)
    shape = (*batch, 10, components, *pixels)
    params = torch.randn(shape, generator=generator, dtype=torch.float64)
    planes = params.movedim(len(batch), 0)
    planes[1::3] *= 0.5  # means
    planes[2::3] -= 1.5  # log-scales
    planes[2::3].select(1 + len(batch), 0).sub_(6.0)
    levels = torch.randint(-40, 296, (*batch, 3, *pixels), generator=generator).clamp(0, 255)
    return params.flatten(len(batch), len(batch) + 1), levels.to(torch.uint8)
