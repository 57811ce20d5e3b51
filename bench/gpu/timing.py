"""Clocks for calls that return before the device has done their work."""

from __future__ import annotations

import math
import time

import torch

from bench.harness.timing import Call, Laps, Step

_CALIBRATION_CYCLES = 20_000_000
_MOST_RETRIES = 4


class DeviceClock:
    """CUDA events around one call at a time.

    Before each, a read of twice the L2 cache's size evicts whatever an earlier one left there, and
    a kernel that only waits keeps the device busy while the host queues the call: the events then
    hold the device's work without the gaps in which it waits for Python. What the host needed to
    queue it is a lap of its own, "host". A step in training takes the longer of the two.
    """

    def __init__(self, cache_bytes: int) -> None:
        self._evicting = torch.ones(max(1, 2 * cache_bytes // 4), device="cuda")
        self._backlog: dict[str, float] = {}  # seconds
        self._cycles_per_second = self._calibrate()

    def prepare(self, name: str, call: Call) -> None:
        call()
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        self._backlog[name] = 2.0 * (time.perf_counter() - start) + 200e-6
        torch.cuda.synchronize()

    def laps(self, name: str, call: Call) -> Laps:
        for _ in range(_MOST_RETRIES):
            laps = self._sample(call, self._backlog[name])
            if laps["host"] < self._backlog[name]:
                break
            self._backlog[name] *= 2.0  # the device ran dry while the host was queueing
        return laps

    def _sample(self, call: Call, backlog: float) -> Laps:
        events = [torch.cuda.Event(enable_timing=True) for _ in range(3)]
        self._evicting.sum()
        torch.cuda.synchronize()
        torch.cuda._sleep(int(backlog * self._cycles_per_second))
        start = time.perf_counter()
        events[0].record()
        if isinstance(call, Step):
            results = call.forward()
            events[1].record()
            call.backward(results)
        else:
            call()
        events[2].record()
        host = time.perf_counter() - start
        torch.cuda.synchronize()
        laps = {"both": events[0].elapsed_time(events[2]) * 1e-3, "host": host}
        if isinstance(call, Step):
            laps["forward"] = events[0].elapsed_time(events[1]) * 1e-3
            laps["backward"] = events[1].elapsed_time(events[2]) * 1e-3
        return laps

    @staticmethod
    def _calibrate() -> float:
        """Cycles per second of the waiting kernel, once the clock frequency has risen."""
        seconds = 1.0
        for _ in range(5):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            torch.cuda._sleep(_CALIBRATION_CYCLES)
            end.record()
            torch.cuda.synchronize()
            seconds = start.elapsed_time(end) * 1e-3
        return _CALIBRATION_CYCLES / seconds


class DryClock:
    """Runs the calls and reads no clock: every figure is NaN."""

    def prepare(self, name: str, call: Call) -> None:
        call()

    def laps(self, name: str, call: Call) -> Laps:
        call()
        parts = ("forward", "backward") if isinstance(call, Step) else ()
        return dict.fromkeys(("both", "host", *parts), math.nan)
