"""The prior of directions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vaekern.functional import reparameterize
from vaekern.posteriors.prior import SPHERE, Prior
from vaekern.posteriors.von_mises_fisher import log_area
from vaekern.priors.base import check_latent, check_samples, shape_of


class UniformSphere(Prior):
    """Unit vectors of any direction, uniformly on S^(d-1): the prior of
    :class:`vaekern.posteriors.VonMisesFisher` (Davidson et al. 2018).

    Args:
        latent_shape: d, or the shape of one z of several vectors [..., d].

    Raises:
        ValueError: d is below 2.
    """

    support = SPHERE
    zero: Tensor

    def __init__(self, latent_shape: int | Sequence[int]) -> None:
        super().__init__()
        self.latent_shape = shape_of(latent_shape)
        if not self.latent_shape or self.latent_shape[-1] < 2:
            raise ValueError(
                f"latent_shape: expected vectors [..., d] with d at least 2, got {latent_shape}"
            )
        self.register_buffer("zero", torch.zeros(()), persistent=False)  # knows device and dtype

    def log_prob(self, z: Tensor, *, batch_dims: int = 1) -> Tensor:
        """Minus the logarithm of the area, for each vector, per datapoint in nats; z is not
        looked at."""
        check_latent(z, self.latent_shape, batch_dims)
        *vectors, d = self.latent_shape
        log_density = -math.prod(vectors) * log_area(d)
        dtype = torch.promote_types(z.dtype, torch.float32)
        return z.new_full(z.shape[:batch_dims], log_density, dtype=dtype)

    def sample(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        check_samples(num_samples)
        nothing = self.zero.expand(num_samples, *self.latent_shape)
        normals = reparameterize(nothing, nothing, generator=generator)
        return normals / torch.linalg.vector_norm(normals, dim=-1, keepdim=True)

    def is_uniform_on_sphere(self) -> bool:
        return True
