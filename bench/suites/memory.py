"""Memory of a step: what is saved for the backward, and the peak of all it allocates."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from operations.description import Form
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile

from bench.harness.report import Results, Row, dtype_name, print_table
from bench.problems.providers import Provider
from bench.problems.workloads import WORKLOADS, Problem

_MIB = 2**20


@dataclass(frozen=True)
class Memory:
    """Bytes."""

    saved: int
    peak_extra: int

    def columns(self) -> Row:
        return {
            "saved_mib": f"{self.saved / _MIB:.4f}",
            "peak_extra_mib": f"{self.peak_extra / _MIB:.4f}",
        }

    def __str__(self) -> str:
        return f"{self.saved / _MIB:.2f} / {self.peak_extra / _MIB:.2f}"


def of_step(problem: Problem, form: Form) -> Memory:
    return Memory(saved_bytes(problem, form), _peak_extra_bytes(problem, form))


def run(
    workloads: Sequence[str],
    providers: Sequence[Provider],
    dtypes: Sequence[torch.dtype],
    results: Results,
) -> None:
    """Prints, in MiB, bytes saved and peak extra memory for each provider and workload."""
    for dtype in dtypes:
        print(f"\n{dtype_name(dtype)}: MiB saved for the backward / MiB at the peak")
        columns = {}
        for name in workloads:
            columns[name] = _measure(name, dtype, providers, results)
            torch.compiler.reset()
        rows = [
            [provider.name, *[columns[name].get(provider.name, "") for name in workloads]]
            for provider in providers
        ]
        print_table(["provider", *workloads], rows)


def _measure(
    name: str, dtype: torch.dtype, providers: Sequence[Provider], results: Results
) -> dict[str, str]:
    workload = WORKLOADS[name]
    problem = workload.make(dtype)
    cells = {}
    for provider in providers:
        form = provider.form(workload.family_name)
        if form is None:
            continue
        problem.step(form)  # compiles
        memory = of_step(problem, form)
        cells[provider.name] = str(memory)
        what = {"workload": name, "dtype": dtype_name(dtype), "provider": provider.name}
        results.add(what | memory.columns())
    return cells


def saved_bytes(problem: Problem, form: Form) -> int:
    """Bytes that autograd keeps from the forward to the backward, beside the inputs."""
    inputs = {t.untyped_storage().data_ptr() for t in problem.inputs}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.detach()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        problem.step(form)
    return sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in inputs)


def _peak_extra_bytes(problem: Problem, form: Form) -> int:
    """The most that a step holds at once of what it allocates: results and gradients included,
    inputs not. From the log of torch's allocator, from which vaekern's large results come too while
    a profiler listens, instead of from its pool."""
    problem.forget_gradients()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        results = problem.step(form)
    del results
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        recorded.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    held = peak = 0
    for event in sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"]):
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak
