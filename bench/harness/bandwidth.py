"""What the memory gives in the same run: the measure of every GB/s beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from bench.harness.environment import last_level_cache_bytes
from bench.harness.timing import Call, rotating

#: Larger problems are compared with the speed of this many bytes.
_LARGEST = 2**29

_MOST_SETS = 2048  # of small buffers, where "uncached" means out of the inner caches


@dataclass(frozen=True)
class Probe:
    """A call that moves a known number of bytes."""

    call: Call
    bytes: int


def probes(total_bytes: int) -> dict[str, Probe]:
    """torch.add(a, b, out=c), two streams in and one out, which move as much as a problem does:
    on the same buffers each time, and over as many as the largest cache cannot hold."""
    moved = min(max(total_bytes, 12), _LARGEST)
    many = [_add_in_place(moved) for _ in range(uncached_sets(moved))]
    return {
        ROOFLINE: Probe(many[0], moved),
        "add(out=), uncached": Probe(rotating(many), moved),
    }


#: The probe that shares are of: it writes to memory that it already has.
ROOFLINE = "add(out=), same buffers"


def uncached_sets(bytes_per_set: int, at_least: int = 1) -> int:
    """How many sets of buffers to rotate over for each to have left the caches."""
    sets = math.ceil(4 * last_level_cache_bytes() / bytes_per_set)
    return max(at_least, min(sets, _MOST_SETS))


def _add_in_place(total_bytes: int) -> Call:
    a, b, c = torch.ones(3, total_bytes // 12).unbind()
    return lambda: torch.add(a, b, out=c)
