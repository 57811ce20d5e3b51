"""What all priors have in common."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vaekern._checks import check_count
from vaekern._torch import shape_to_compare


def shape_of(latent_shape: int | Sequence[int]) -> tuple[int, ...]:
    return (latent_shape,) if isinstance(latent_shape, int) else tuple(latent_shape)


def check_samples(num_samples: int) -> None:
    check_count("num_samples", num_samples)


def check_latent(z: Tensor, latent_shape: Sequence[int], batch_dims: int) -> None:
    if shape_to_compare(z)[batch_dims:] != torch.Size(latent_shape):
        raise ValueError(
            f"z: expected {batch_dims} batch dimensions and latents of shape "
            f"{tuple(latent_shape)}, got {tuple(z.shape)}"
        )
