"""A model that remembers the shape of its latents: without it, nothing can be sampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class KnowsLatentShape(nn.Module):
    """Learns the shape from the first batch, unless it is given, and keeps it in the
    ``state_dict``."""

    def __init__(self, latent_shape: int | Sequence[int] | None) -> None:
        super().__init__()
        if isinstance(latent_shape, int):
            latent_shape = (latent_shape,)
        # In a list: an attribute that changes cannot be exported by torch 2.6.
        self._latent_shape = [None if latent_shape is None else tuple(latent_shape)]

    @property
    def latent_shape(self) -> tuple[int, ...] | None:
        """The shape of one z, None before it is known."""
        return self._latent_shape[0]

    def learn_latent_shape(self, shape: tuple[int, ...]) -> None:
        self._latent_shape[0] = shape

    def standard_normal(
        self, num_samples: int, like: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Draws z from N(0, 1), of the dtype and on the device of ``like``."""
        if self.latent_shape is None:
            raise RuntimeError("sample: encode a batch first, or give VAE its latent_shape")
        return torch.randn(
            num_samples,
            *self.latent_shape,
            generator=generator,
            device=like.device,
            dtype=like.dtype,
        )

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.latent_shape or (), dtype=torch.int64)

    def set_extra_state(self, state: Tensor) -> None:
        if state.numel() > 0:
            self._latent_shape[0] = tuple(state.tolist())

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        *others: Any,
    ) -> None:
        """States that were saved before there was any of it are complete."""
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, *others
        )
        key = f"{prefix}_extra_state"
        if key in missing_keys:
            missing_keys.remove(key)
