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
from functools import cache
from typing import Any, Protocol

Call = Callable[[], object]

#: Seconds of one call by what was timed: "both", and for a step its "forward" and "backward".
Laps = dict[str, float]

_MIN_ROUNDS = 5


@dataclass(frozen=True)
class Step:
    """A call of two parts, which are timed apart as well: the second takes what the first gives.

    ``clear`` takes away what the last call leaves, in its time: else that of a candidate would be
    the next one's to free.
    """

    forward: Callable[[], Any]
    backward: Callable[[Any], object]
    clear: Callable[[], object] = lambda: None

    def __call__(self) -> None:
        self.backward(self.forward())
        self.clear()


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


#: A candidate's timings, by the keys of its laps.
Timings = dict[str, Timing]


class Clock(Protocol):
    def prepare(self, name: str, call: Call) -> None:
        """Warms the call up; everything that it does once is done after this."""

    def laps(self, name: str, call: Call) -> Laps:
        """One sample."""


class HostClock:
    """Times calls that are over when they return.

    A sample of a short call is the mean of several in a row, enough for a millisecond, or for as
    many ``seconds``. With ``lead_in``, one untimed call precedes each sample and brings its data
    into the caches.
    """

    def __init__(self, *, lead_in: bool = False, seconds: float = 1e-3) -> None:
        self._lead_in = lead_in
        self._seconds = seconds
        self._repeats: dict[str, int] = {}

    def prepare(self, name: str, call: Call) -> None:
        call()
        once = _laps(call, 1)["both"]
        self._repeats[name] = math.ceil(self._seconds / max(once, 1e-5))

    def laps(self, name: str, call: Call) -> Laps:
        if self._lead_in:
            call()
        return _laps(call, self._repeats[name])


def interleaved(
    calls: Mapping[str, Call], rounds: int, budget_seconds: float, clock: Clock | None = None
) -> dict[str, Timings]:
    """Each round takes one sample of every call, in random order. Stops after ``rounds``, or when
    the budget is spent, but not before a few rounds."""
    clock = clock or HostClock()
    _set_modules_aside()
    for name, call in calls.items():
        clock.prepare(name, call)
    samples: dict[str, list[Laps]] = {name: [] for name in calls}
    order, shuffle = list(calls), random.Random(0).shuffle
    deadline = time.perf_counter() + budget_seconds
    for done in range(max(rounds, _MIN_ROUNDS)):
        if done >= _MIN_ROUNDS and time.perf_counter() > deadline:
            break
        shuffle(order)
        with _without_gc():
            for name in order:
                samples[name].append(clock.laps(name, calls[name]))
    return {name: _timings(taken) for name, taken in samples.items()}


def rotating(calls: Iterable[Call]) -> Call:
    """One of the calls after the other: with a set of buffers each, none finds its data cached."""
    following = itertools.cycle(calls)
    return lambda: next(following)()


def _timings(samples: list[Laps]) -> Timings:
    return {lap: Timing.of([laps[lap] for laps in samples]) for lap in samples[0]}


def _laps(call: Call, repeats: int) -> Laps:
    if isinstance(call, Step):
        return _step_laps(call, repeats)
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return {"both": (time.perf_counter() - start) / repeats}


def _step_laps(step: Step, repeats: int) -> Laps:
    now, forward = time.perf_counter, 0.0
    start = now()
    for _ in range(repeats):
        before = now()
        results = step.forward()
        forward += now() - before
        step.backward(results)
        del results
    step.clear()
    whole = now() - start
    laps = {"both": whole, "forward": forward, "backward": whole - forward}
    return {name: seconds / repeats for name, seconds in laps.items()}


@cache
def _set_modules_aside() -> None:
    """What there is before anything is timed stays: collections need not look at it each round,
    which takes longer than the rounds of short calls."""
    gc.collect()
    gc.freeze()


class _without_gc:  # noqa: N801 - reads as a statement
    """Collections happen between rounds, not in a candidate's time."""

    def __enter__(self) -> None:
        gc.collect()
        gc.disable()

    def __exit__(self, *exception: object) -> None:
        gc.enable()
