"""What the arguments of an operation usually are, for code that dynamo traces (``in_graph.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from vaekern._backends.fast import FLOAT, NOISE, PROBABILITY, SHARED, SPREAD, TARGET
from vaekern._checks import FLOATS


class Input(NamedTuple):
    whole: tuple[torch.dtype, ...]  # of a tensor with the shape of the first
    shared: tuple[torch.dtype, ...]  # of one without dimensions
    noise: bool  # may be None, to draw a seed


class Usual(NamedTuple):
    inputs: tuple[Input, ...]
    maskable: bool
    attributes: tuple[tuple[str, ...], ...]  # each but batch_dims is one of those
    layout: torch.layout = torch.strided


def usual(takes: Sequence[str], maskable: bool, attributes: Sequence[tuple[str, ...]]) -> Usual:
    """Of an operation whose inputs are what it ``takes`` (``_backends/fast.py``)."""
    return Usual(tuple([_input(rule) for rule in takes]), maskable, tuple(attributes))


def _input(rule: str) -> Input:
    whole = FLOATS if rule in (FLOAT, TARGET, PROBABILITY, SHARED, SPREAD) else ()
    bytes_too = (torch.uint8, torch.bool) if rule in (TARGET, PROBABILITY) else ()
    return Input(whole + bytes_too, FLOATS if rule in (SHARED, SPREAD) else (), rule == NOISE)
