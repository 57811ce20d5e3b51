"""What all priors have in common."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vaekern.posteriors.base import Diagonal


class Prior(nn.Module):
    """A distribution p(z) over latents, the interface: ``vk.VAE(..., prior=...)`` takes any
    subclass with :meth:`log_prob` and :meth:`sample`."""

    def log_prob(self, z: Tensor, *, batch_dims: int = 1) -> Tensor:
        """log p(z) per datapoint, in nats: the shape ``z.shape[:batch_dims]``. Gives gradients to
        z and the prior's parameters."""
        raise NotImplementedError

    def sample(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Samples [num_samples, *latent]. Carries no gradient."""
        raise NotImplementedError

    def diagonal(self) -> Diagonal | None:
        """Its parameters, if it is a Gaussian of independent elements: KL divergences of Gaussian
        posteriors to it are then computed in closed form."""
        return None


def shape_of(latent_shape: int | Sequence[int]) -> tuple[int, ...]:
    return (latent_shape,) if isinstance(latent_shape, int) else tuple(latent_shape)


def check_samples(num_samples: int) -> None:
    if num_samples < 1:
        raise ValueError(f"num_samples: expected at least 1, got {num_samples}")


def check_latent(z: Tensor, latent_shape: Sequence[int], batch_dims: int) -> None:
    if z.shape[batch_dims:] != torch.Size(latent_shape):
        raise ValueError(
            f"z: expected {batch_dims} batch dimensions and latents of shape "
            f"{tuple(latent_shape)}, got {tuple(z.shape)}"
        )
