"""Seeds of the noise that kernels generate, drawn from torch's generators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed

from vaekern._torch import process_groups

_DISTRIBUTED = distributed.is_available()
_LEAST, _MOST = torch.iinfo(torch.int64).min, torch.iinfo(torch.int64).max


def drawn_seed(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """An int64[2] seed on the device of ``like``."""
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: expected a torch.Generator, got {type(generator).__name__}")
    # Drawn on the device, by an op that CUDA graphs, torch.compile and checkpoint replay. The
    # keyword is always given: without it Inductor would put its own generator in.
    drawn = torch.randint(
        _LEAST, _MOST, (2,), device=like.device, dtype=torch.int64, generator=generator
    )
    return drawn if generator is not None else _of_this_rank(drawn)


def _of_this_rank(seed: Tensor) -> Tensor:
    """Another seed on each rank of a distributed run but the first: torch's generators are commonly
    seeded alike, and ranks that shared their noise would do so silently."""
    if not (_DISTRIBUTED and distributed.is_initialized()):
        return seed
    rank = distributed.get_rank()
    if rank == 0:
        return seed
    spread = rank * 0x9E3779B97F4A7C15 % 2**64  # odd: no two ranks alike
    return seed ^ as_int64(spread)


def as_int64(number: int) -> int:
    """The same 64 bits."""
    return number - 2**64 if number > _MOST else number


class QuickDraw(NamedTuple):
    """What the extension draws the same seed with, into an int64[2] tensor that it has made: by
    ``random_(words, least, most, generator=generator)`` and, without a generator in a distributed
    run, which has a ``default_pg`` among its ``groups``, ``of_this_rank(words)``."""

    random_: Callable[..., Tensor]
    least: int
    most: int
    groups: Any
    of_this_rank: Callable[[Tensor], Tensor]


QUICK_DRAW = QuickDraw(Tensor.random_, _LEAST, _MOST, process_groups, _of_this_rank)
