"""What a public call costs where arithmetic costs little: microseconds per call, on tensors of 4
elements, where next to nothing but the way to the kernel and back is left, on a little more, and on
those of W1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from operations.description import Form

from bench.harness.measure import Effort, check, described
from bench.harness.report import Results, print_table, timing_columns
from bench.harness.timing import Call, interleaved
from bench.problems.families import OPS
from bench.problems.providers import Provider
from bench.problems.workloads import WORKLOADS, Problem, Workload

CALLS = ("bernoulli_elbo", "elbo_loss", *OPS)  # the first: a sample and the loss

_W1 = WORKLOADS["W1"]
_SIZES = {"tiny": ((1, 4), (1, 4)), "small": ((2, 4), (2, 8)), "W1": (_W1.latent, _W1.data)}
_PARTS = ("no grad", "forward", "backward", "both")


def run(
    calls: Sequence[str], providers: Sequence[Provider], effort: Effort, results: Results
) -> None:
    """Steps, and forwards that nobody wants a gradient of."""
    for size, (latent, data) in _SIZES.items():
        rows = []
        for name in calls:
            workload = Workload(f"overhead {name}, {size}", "one call", name, latent, data)
            rows += _measure(workload, providers, effort, results)
        sizes = "data {}x{}, latent {}x{}".format(*data, *latent)
        print(f"\n{size}: {sizes}, float32; us per call")
        print_table(["call", *_PARTS], rows)


def _measure(
    workload: Workload, providers: Sequence[Provider], effort: Effort, results: Results
) -> list[list[str]]:
    checked = check(workload, torch.float32, providers)
    steps: dict[str, Call] = {n: checked.problem.timed_step(f) for n, f in checked.forms.items()}
    bare = {f"{n}, no grad": _without_grad(checked.problem, f) for n, f in checked.forms.items()}
    timings = interleaved(steps | bare, effort.rounds, effort.seconds)
    rows = []
    for name in steps:
        parts = timings[name] | {"no grad": timings[f"{name}, no grad"]["both"]}
        cells = [f"{parts[part].median * 1e6:.1f}" for part in _PARTS]
        rows.append([f"{workload.family_name}, {name}", *cells])
        for part, timing in parts.items():
            what = described(workload, torch.float32) | {"provider": name}
            what["part"] = "" if part == "both" else part
            results.add(what | timing_columns(timing))
    return rows + [[f"{name}: {why}"] for name, why in checked.excluded.items()]


def _without_grad(problem: Problem, form: Form) -> Call:
    @torch.no_grad()
    def call() -> None:
        form(*problem.inputs)

    return call
