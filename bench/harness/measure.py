"""One workload by several providers: checked, then timed together, and their memory counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from operations.description import Form

from bench.harness import bandwidth
from bench.harness.correctness import Oracle
from bench.harness.report import Results, Row, dtype_name, timing_columns
from bench.harness.timing import Step, Timings, interleaved
from bench.problems.providers import Provider
from bench.problems.workloads import Problem, Workload
from bench.suites import memory


@dataclass(frozen=True)
class Effort:
    """How much is measured: samples of each candidate, and seconds for all, at most."""

    rounds: int
    seconds: float


@dataclass(frozen=True)
class Checked:
    """The providers' forms that are right, and why the others are left out."""

    problem: Problem
    forms: dict[str, Form]
    excluded: dict[str, str]


@dataclass(frozen=True)
class Measurement:
    workload: Workload
    dtype: torch.dtype
    steps: dict[str, Timings]
    probes: dict[str, Timings]
    memory: dict[str, memory.Memory]
    excluded: dict[str, str]
    bandwidth: float  # bytes per second

    @property
    def bytes_to_move(self) -> int:
        moved = self.workload.bytes_to_move(self.dtype)
        assert moved is not None, "every family has a bound for its whole step"
        return moved


def check(
    workload: Workload,
    dtype: torch.dtype,
    providers: Sequence[Provider],
    device: torch.device | None = None,
) -> Checked:
    """Runs, and by that compiles, every provider that has the workload's family."""
    problem = workload.make(dtype, device=device or torch.device("cpu"))
    oracle = Oracle(problem, workload.family)
    forms: dict[str, Form] = {}
    excluded: dict[str, str] = {}
    for provider in providers:
        form = provider.form(workload.family_name)
        if form is None:
            continue
        fault = _fault(oracle, form)
        if fault is None:
            forms[provider.name] = form
        else:
            excluded[provider.name] = fault
    problem.forget_gradients()
    return Checked(problem, forms, excluded)


def _fault(oracle: Oracle, form: Form) -> str | None:
    try:
        fault = oracle.fault(form)
    except Exception as error:  # a peer that does not run here is no reason to stop
        first_line = next(iter(str(error).strip().splitlines()), "")
        return f"FAILED: {type(error).__name__}: {first_line}"
    return f"WRONG, not timed: {fault}" if fault else None


def measure(
    workload: Workload,
    dtype: torch.dtype,
    providers: Sequence[Provider],
    effort: Effort,
    results: Results,
) -> Measurement:
    """On the CPU, with a row in ``results`` for each provider and part of the step."""
    checked = check(workload, dtype, providers)
    bytes_to_move = workload.bytes_to_move(dtype)
    assert bytes_to_move is not None
    probes = bandwidth.probes(bytes_to_move)
    steps: dict[str, Step] = {
        name: checked.problem.timed_step(form) for name, form in checked.forms.items()
    }
    calls = steps | {name: probe.call for name, probe in probes.items()}
    timings = interleaved(calls, effort.rounds, effort.seconds)
    roofline = probes[bandwidth.ROOFLINE].bytes / timings[bandwidth.ROOFLINE]["both"].median
    measurement = Measurement(
        workload,
        dtype,
        {name: timings[name] for name in steps},
        {name: timings[name] for name in probes},
        {name: memory.of_step(checked.problem, form) for name, form in checked.forms.items()},
        checked.excluded,
        roofline,
    )
    checked.problem.forget_gradients()
    torch.compiler.reset()
    _add_rows(measurement, probes, results)
    return measurement


def _add_rows(
    measurement: Measurement, probes: dict[str, bandwidth.Probe], results: Results
) -> None:
    workload, dtype = measurement.workload, measurement.dtype
    what = described(workload, dtype)
    for name, timings in measurement.steps.items():
        for part, timing in timings.items():
            row = what | {"provider": name, "part": "" if part == "both" else part}
            moved = workload.bytes_to_move(dtype, part)
            row |= timing_columns(timing, moved, measurement.bandwidth)
            if part == "both":
                row |= measurement.memory[name].columns()
            results.add(row)
    for name, timings in measurement.probes.items():
        columns = timing_columns(timings["both"], probes[name].bytes, measurement.bandwidth)
        results.add(what | {"provider": name} | columns)


def described(workload: Workload, dtype: torch.dtype) -> Row:
    """What a row is about. ``elements`` tells sizes of one operation apart."""
    size = {"elements": str(workload.elements)} if workload.family_name == workload.name else {}
    return {"workload": workload.name, **size, "dtype": dtype_name(dtype)}
