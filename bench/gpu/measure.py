"""The benchmarks: each table's providers checked, then timed together over rotating inputs."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from operations.description import Form

from bench.gpu.machine import Machine
from bench.gpu.sizes import Table
from bench.harness.measure import check, described
from bench.harness.report import Row, timing_columns
from bench.harness.timing import Call, Clock, Step, Timings, interleaved
from bench.problems.workloads import Problem

COPY = "copy_"

_LARGEST_COPY = 2**31
_SHARE_OF_TIMING = 0.5  # of the time that is left for a table; the rest is for compilers
_LEAST_SECONDS = 5.0  # no table is begun with less


@dataclass(frozen=True)
class Figures:
    """What came out for one table. ``bandwidth`` is that of the copy, in bytes per second."""

    table: Table
    timings: dict[str, Timings]
    peak_bytes: dict[str, int]
    excluded: dict[str, str]
    bandwidth: float

    def rows(self) -> list[Row]:
        workload, dtype = self.table.workload, self.table.dtype
        rows = []
        for name, timings in self.timings.items():
            for part, timing in timings.items():
                if part == "host":
                    continue
                row = described(workload, dtype) | {"provider": name}
                row["part"] = "" if part == "both" else part
                moved = workload.bytes_to_move(dtype, part)
                row |= timing_columns(timing, moved, self.bandwidth)
                if part == "both":
                    row["host_us"] = f"{timings['host'].median * 1e6:.1f}"
                    if name in self.peak_bytes:
                        row["peak_extra_mib"] = f"{self.peak_bytes[name] / 2**20:.4f}"
                rows.append(row)
        return rows


class Budget:
    """Seconds that the rest of a run may take."""

    def __init__(self, seconds: float) -> None:
        self._deadline = time.perf_counter() + seconds

    @property
    def left(self) -> float:
        return max(0.0, self._deadline - time.perf_counter())

    def share(self, parts: int) -> float:
        return self.left / max(1, parts)


def run_table(table: Table, machine: Machine, clock: Clock, rounds: int, seconds: float) -> Figures:
    workload, dtype = table.workload, table.dtype
    checked = check(workload, dtype, table.providers, machine.device)
    problems = _input_sets(table, checked.problem, machine)
    steps = {name: _rotating_step(problems, form) for name, form in checked.forms.items()}
    for step in steps.values():
        for _ in problems:
            step()  # every set has its gradients' memory before the clock runs
    moved = workload.bytes_to_move(dtype)
    assert moved is not None
    copied = min(moved, _LARGEST_COPY)
    calls: dict[str, Call] = {**steps, COPY: copy(copied, machine)}
    timings = interleaved(calls, rounds, seconds, clock)
    bandwidth = 2 * (copied // 2) / timings[COPY]["both"].median
    peaks = {n: _peak_extra_bytes(checked.problem, f, machine) for n, f in checked.forms.items()}
    torch.compiler.reset()
    return Figures(table, timings, peaks, checked.excluded, bandwidth)


def run_tables(
    tables: Sequence[Table],
    machine: Machine,
    clock: Clock,
    rounds: int,
    budget: Budget,
    report: Callable[[Figures], None],
    missing: Callable[[str], None],
) -> None:
    """Reports the figures of each table as they come, or that it is missing and why."""
    for done, table in enumerate(tables):
        seconds = _SHARE_OF_TIMING * budget.share(len(tables) - done)
        if budget.left < _LEAST_SECONDS:
            missing(f"{table.name}: the budget was spent")
            continue
        try:
            figures = run_table(table, machine, clock, rounds, seconds)
        except torch.OutOfMemoryError as error:
            missing(f"{table.name}: {str(error).splitlines()[0]}")
            continue
        report(figures)


def copy(total_bytes: int, machine: Machine) -> Call:
    """Half of the bytes are read, half written; random, since equal ones can be faster."""
    numbers = torch.randint(256, (total_bytes // 2,), dtype=torch.uint8, device=machine.device)
    target = torch.empty_like(numbers)
    return lambda: target.copy_(numbers)


def copy_bandwidth(machine: Machine, clock: Clock, rounds: int, seconds: float) -> float:
    """Bytes per second of a large copy."""
    total = _LARGEST_COPY if machine.is_gpu else 2**16
    timings = interleaved({COPY: copy(total, machine)}, rounds, seconds, clock)
    return total / timings[COPY]["both"].median


def _input_sets(table: Table, first: Problem, machine: Machine) -> list[Problem]:
    """As many as the last-level cache cannot hold half of."""
    bytes_per_set = sum(t.numel() * t.element_size() for t in first.inputs)
    count = max(1, math.ceil(2 * machine.cache_bytes / bytes_per_set))
    others = [
        table.workload.make(table.dtype, seed=k, device=machine.device) for k in range(1, count)
    ]
    return [first, *others]


def _rotating_step(problems: Sequence[Problem], form: Form) -> Step:
    following = itertools.cycle(problems)

    def forward() -> Any:
        problem = next(following)
        return problem, problem.forward(form)

    return Step(forward, lambda state: state[0].backward(state[1]))


def _peak_extra_bytes(problem: Problem, form: Form, machine: Machine) -> int:
    """The most that a step holds at once of what it allocates; unknown, 0, without a GPU."""
    problem.forget_gradients()
    if not machine.is_gpu:
        problem.step(form)
        return 0
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    problem.step(form)
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before
