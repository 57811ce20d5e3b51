"""Interleaved timing: what shares the machine hits every candidate alike."""

from __future__ import annotations

import gc
import itertools
import math
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

Call = Callable[[], object]

_MIN_ROUNDS = 5
_MIN_SAMPLE_SECONDS = 1e-3


@dataclass(frozen=True)
class Timing:
    """Seconds per call."""

    median: float
    p20: float
    p80: float
    samples: int

    @staticmethod
    def of(samples: list[float]) -> Timing:
        p20, _, _, p80 = statistics.quantiles(samples, n=5, method="inclusive")
        return Timing(statistics.median(samples), p20, p80, len(samples))


def interleaved(
    calls: Mapping[str, Call], rounds: int, budget_seconds: float, *, lead_in: bool = False
) -> dict[str, Timing]:
    """Each round takes one sample of every call, in random order.

    A sample of a short call is the mean of several in a row, enough for a millisecond. With
    ``lead_in``, one untimed call precedes each sample and brings its data into the caches. Stops
    after ``rounds``, or when the budget is spent, but not before a few rounds.
    """
    repeats = {name: _repeats(call) for name, call in calls.items()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    order, shuffle = list(calls), random.Random(0).shuffle
    deadline = time.perf_counter() + budget_seconds
    for done in range(rounds):
        if done >= _MIN_ROUNDS and time.perf_counter() > deadline:
            break
        shuffle(order)
        with _without_gc():
            for name in order:
                if lead_in:
                    calls[name]()
                samples[name].append(_seconds(calls[name], repeats[name]))
    return {name: Timing.of(taken) for name, taken in samples.items()}


def rotating(calls: Iterable[Call]) -> Call:
    """One of the calls after the other: with a set of buffers each, none finds its data cached."""
    following = itertools.cycle(calls)
    return lambda: next(following)()


def _seconds(call: Call, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def _repeats(call: Call) -> int:
    call()
    return math.ceil(_MIN_SAMPLE_SECONDS / max(_seconds(call, 1), 1e-5))


class _without_gc:  # noqa: N801 - reads as a statement
    """Collections happen between rounds, not in a candidate's time."""

    def __enter__(self) -> None:
        gc.collect()
        gc.disable()

    def __exit__(self, *exception: object) -> None:
        gc.enable()
