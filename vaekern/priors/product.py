"""Priors of independent parts, side by side."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaekern._checks import check_module
from vaekern.posteriors.prior import Prior, Support, joint_support
from vaekern.posteriors.product import pieces
from vaekern.priors.base import check_latent, check_samples


class Product(Prior):
    """The prior of :class:`vaekern.posteriors.Product`: one for each of its parts.

    Args:
        parts: priors that know their ``latent_shape``, in the order of the posterior's parts.
            Products among them are taken apart.

    z is [*batch, n], the parts flattened.

    Raises:
        ValueError: a prior does not know the shape of its z, or there is none.
        TypeError: one is no :class:`Prior`.
    """

    def __init__(self, *parts: Prior) -> None:
        super().__init__()
        if not parts:
            raise ValueError("parts: expected at least one prior, got none")
        flat: list[Prior] = []
        for part in parts:
            check_module("parts", part, "that is a vaekern.priors.Prior")
            if not isinstance(part, Prior):
                raise TypeError(f"parts: expected priors, got {type(part).__name__}")
            flat += part.factors() or [part]
        for part in flat:
            if getattr(part, "latent_shape", None) is None:
                raise ValueError(
                    f"parts: expected priors that have a latent_shape, got {type(part).__name__}"
                )
        self.parts = nn.ModuleList(flat)
        self.shapes = [tuple(part.latent_shape) for part in flat]  # type: ignore[arg-type]
        self.latent_shape = (sum([torch.Size(shape).numel() for shape in self.shapes]),)

    @property
    def support(self) -> Support:  # type: ignore[override]
        return joint_support([part.support for part in self.factors()])

    def log_prob(self, z: Tensor, *, batch_dims: int = 1) -> Tensor:
        check_latent(z, self.latent_shape, batch_dims)
        of_parts = zip(self.factors(), pieces(z, self.shapes), strict=True)
        values = [part.log_prob(piece, batch_dims=batch_dims) for part, piece in of_parts]
        return torch.stack(torch.broadcast_tensors(*values)).sum(0)

    def sample(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        check_samples(num_samples)
        drawn = [part.sample(num_samples, generator=generator) for part in self.factors()]
        return torch.cat([z.reshape(num_samples, -1) for z in drawn], dim=1)

    def factors(self) -> list[Prior]:
        return list(self.parts)  # type: ignore[arg-type]
