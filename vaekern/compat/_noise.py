"""Samples with the noise of torch's generators, or with the kernel's own."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor

from vaekern.functional import reparameterize

#: ``"torch"`` draws the numbers that the original draws; ``"fused"`` generates others, as good,
#: inside the kernel, where they cost nearly nothing and are never stored.
NoiseSource: TypeAlias = Literal["torch", "fused"]
Generators: TypeAlias = "torch.Generator | list[torch.Generator] | None"

_SOURCES = ("torch", "fused")
_INT64 = torch.iinfo(torch.int64)
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def check_source(noise: str) -> None:
    if noise not in _SOURCES:
        raise ValueError(f"noise: expected one of {_SOURCES}, got {noise!r}")


def randn(
    shape: torch.Size, generator: Generators, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Standard normals. A list has a generator for each index of the first dimension. Generators
    of the CPU serve every device."""
    if isinstance(generator, list) and len(generator) > 1:
        rows = [randn(torch.Size((1, *shape[1:])), generator[k], device, dtype)
                for k in range(shape[0])]  # fmt: skip
        return torch.cat(rows)
    one = generator[0] if isinstance(generator, list) else generator
    at = _where_to_draw(one, device)
    return torch.randn(shape, generator=one, device=at, dtype=dtype).to(device)


def fused_sample(
    mu: Tensor, logvar: Tensor, generator: Generators, *, scale: str = "logvar"
) -> Tensor:
    """A sample with the kernel's own noise, of which the generators give the seeds."""
    if isinstance(generator, list) and len(generator) > 1:
        rows = [fused_sample(mu[k : k + 1], logvar[k : k + 1], generator[k], scale=scale)
                for k in range(mu.shape[0])]  # fmt: skip
        return torch.cat(rows)
    one = generator[0] if isinstance(generator, list) else generator
    if one is None:
        return reparameterize(mu, logvar, scale=scale)
    at = _where_to_draw(one, mu.device)
    seed = torch.randint(_INT64.min, _INT64.max, (2,), generator=one, device=at, dtype=torch.int64)
    return reparameterize(mu, logvar, seed=seed.to(mu.device), scale=scale)


def sample_of_noise(mu: Tensor, deviation: Tensor, eps: Tensor, *, scale: str = "logvar") -> Tensor:
    """A sample with this noise. Its channels are last where those of ``mu`` are, as the formula in
    torch's operations gives it: convolutions that are handed them so go on like that."""
    z = reparameterize(mu, deviation, eps, scale=scale)
    channels_last = _CHANNELS_LAST.get(mu.dim())
    if channels_last is None or mu.stride(1) != 1 or mu.stride(-1) == 1:
        return z
    return z.contiguous(memory_format=channels_last)


def _where_to_draw(generator: torch.Generator | None, device: torch.device) -> torch.device:
    if generator is None or generator.device.type == device.type:
        return device
    if generator.device.type != "cpu":
        raise ValueError(
            f"generator: expected one of {device} or of the CPU, got one of {generator.device}"
        )
    return generator.device
