"""Memory of a step: what is saved for the backward, and the peak of all it allocates."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile

from bench.providers import PROVIDERS
from bench.report import Results, print_table
from bench.steps import dtype_name
from bench.workloads import WORKLOADS, Form, Problem

_MIB = 2**20


def run(
    workloads: Sequence[str],
    providers: Sequence[str],
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
            [provider, *[columns[name].get(provider, "") for name in workloads]]
            for provider in providers
        ]
        print_table(["provider", *workloads], rows)


def _measure(
    name: str, dtype: torch.dtype, providers: Sequence[str], results: Results
) -> dict[str, str]:
    workload = WORKLOADS[name]
    problem = workload.make(dtype)
    cells = {}
    for provider in providers:
        form = PROVIDERS[provider].form(workload.family)
        if form is None:
            continue
        problem.step(form)  # compiles
        saved, peak = saved_bytes(problem, form) / _MIB, peak_extra_bytes(problem, form) / _MIB
        cells[provider] = f"{saved:.2f} / {peak:.2f}"
        results.add(
            {
                "workload": name,
                "dtype": dtype_name(dtype),
                "provider": provider,
                "saved_mib": f"{saved:.4f}",
                "peak_extra_mib": f"{peak:.4f}",
            }
        )
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


def peak_extra_bytes(problem: Problem, form: Form) -> int:
    """The most that a step holds at once of what it allocates: results and gradients included,
    inputs not. From the allocator's own log."""
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
