"""What the memory gives in the same run: the measure of every GB/s beside it."""

from __future__ import annotations

import math

import torch

from bench.environment import last_level_cache_bytes
from bench.timing import Call, rotating


def add_in_place(total_bytes: int) -> Call:
    """``torch.add(a, b, out=c)``, two streams in and one out: ``total_bytes`` in all."""
    a, b, c = torch.ones(3, max(1, total_bytes // 12)).unbind()
    return lambda: torch.add(a, b, out=c)


def add_uncached(total_bytes: int) -> Call:
    """The same, over as many sets of buffers as the largest cache cannot hold."""
    return rotating([add_in_place(total_bytes) for _ in range(uncached_sets(total_bytes))])


def uncached_sets(bytes_per_set: int, at_least: int = 1) -> int:
    """How many sets of buffers to rotate over for each to have left the caches."""
    return max(at_least, math.ceil(4 * last_level_cache_bytes() / bytes_per_set))
