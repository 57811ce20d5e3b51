"""The noise that kernels generate from a seed."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["gumbel", "normal", "philox"]

_WORD = 0xFFFFFFFF


def philox(counters: Tensor, seed: Tensor) -> list[Tensor]:
    """The four words of each counter (int64 tensors), key and stream from ``seed``: Philox4x32-10
    (Salmon et al. 2011) in the layout that ``csrc/core/philox.h`` fixes."""
    key, stream = seed[0], seed[1]
    words = [counters & _WORD, (counters >> 32) & _WORD]
    words += [(stream & _WORD).expand_as(counters), ((stream >> 32) & _WORD).expand_as(counters)]
    k0, k1 = key & _WORD, (key >> 32) & _WORD
    for _ in range(10):
        p0, p1 = words[0] * 0xD2511F53, words[2] * 0xCD9E8D57  # modulo 2^64: the bits are right
        words = [
            ((p1 >> 32) & _WORD) ^ words[1] ^ k0,
            p1 & _WORD,
            ((p0 >> 32) & _WORD) ^ words[3] ^ k1,
            p0 & _WORD,
        ]
        k0, k1 = (k0 + 0x9E3779B9) & _WORD, (k1 + 0xBB67AE85) & _WORD
    return words


def normal(seed: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """The standard normals of a seed: computed in float64 and rounded."""
    n = math.prod(shape)
    words = philox(torch.arange((n + 3) // 4, device=seed.device), seed)
    pairs = []
    for radius_word, angle_word in (words[:2], words[2:]):
        uniform = (radius_word.to(torch.float64) + 0.5) * 2.0**-32
        radius = torch.sqrt(-2.0 * torch.log(uniform))
        angle = angle_word.to(torch.float64) * (2.0 * math.pi * 2.0**-32)
        pairs += [radius * torch.cos(angle), radius * torch.sin(angle)]
    return torch.stack(pairs, dim=-1).flatten()[:n].reshape(shape).to(dtype)


def gumbel(seed: Tensor, shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Likewise, numbers of Gumbel's distribution: one for each word."""
    n = math.prod(shape)
    words = philox(torch.arange((n + 3) // 4, device=seed.device), seed)
    uniform = (torch.stack(words, dim=-1).flatten()[:n].to(torch.float64) + 0.5) * 2.0**-32
    return -torch.log(-torch.log(uniform)).reshape(shape).to(dtype)
