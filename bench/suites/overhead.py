"""What a public call costs where arithmetic costs little: microseconds per call, on tensors of 4
elements, where next to nothing but the way to the kernel and back is left, on a little more, and on
those of W1; and how much of the interpreter it takes, which no other load changes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from operations.description import Form

from bench.harness.counting import Counts, counted
from bench.harness.measure import Effort, check, described
from bench.harness.report import Results, print_table, timing_columns
from bench.harness.timing import Call, Timings, interleaved
from bench.problems.families import OPS
from bench.problems.providers import OURS, Provider
from bench.problems.workloads import WORKLOADS, Problem, Workload

#: The first: a sample and the loss; the third: a mixture for each pixel.
CALLS = ("bernoulli_elbo", "elbo_loss", "image_nll", *OPS)

_W1 = WORKLOADS["W1"]
_SHAPES = {"tiny": ((1, 4), (1, 4)), "small": ((2, 4), (2, 8)), "W1": (_W1.latent, _W1.data)}
SIZES = tuple(_SHAPES)
#: The parameters of 2 components and the colours of a pixel.
_PIXEL = ((1, 20, 1, 1), (1, 3, 1, 1))
_PARTS = ("no grad", "forward", "backward", "both")
_COUNTED = ("no grad", "both")
_HEADER = ("call", *_PARTS, *(f"{part}, counts" for part in _COUNTED), *_COUNTED)


def run(
    calls: Sequence[str],
    sizes: Sequence[str],
    providers: Sequence[Provider],
    effort: Effort,
    results: Results,
) -> None:
    """Steps, and forwards that nobody wants a gradient of."""
    for size in sizes:
        rows = []
        for name in calls:
            latent, data = _PIXEL if name == "image_nll" else _SHAPES[size]
            workload = Workload(f"overhead {name}, {size}", "one call", name, latent, data)
            rows += _measure(workload, providers, effort, results)
        latent, data = _SHAPES[size]
        sizes_of = "data {}x{}, latent {}x{}".format(*data, *latent)
        print(f"\n{size}: {sizes_of}, float32; us per call; frames + calls of C functions;")
        print(f"at the end how many times as long {OURS} takes as the fastest peer")
        print_table(_HEADER, rows)


def _measure(
    workload: Workload, providers: Sequence[Provider], effort: Effort, results: Results
) -> list[list[str]]:
    checked = check(workload, torch.float32, providers)
    steps: dict[str, Call] = {n: checked.problem.timed_step(f) for n, f in checked.forms.items()}
    bare = {f"{n}, no grad": _without_grad(checked.problem, f) for n, f in checked.forms.items()}
    counts = {name: counted(call) for name, call in (steps | bare).items()}
    timings = interleaved(steps | bare, effort.rounds, effort.seconds)
    of = {n: timings[n] | {"no grad": timings[f"{n}, no grad"]["both"]} for n in steps}
    rows = []
    for name, parts in of.items():
        counts_of = {"both": counts[name], "no grad": counts[f"{name}, no grad"]}
        cells = [f"{parts[part].median * 1e6:.1f}" for part in _PARTS]
        cells += [str(counts_of[part]) for part in _COUNTED]
        if name == OURS:
            cells += _ratios(of)
        rows.append([f"{workload.family_name}, {name}", *cells])
        _add(results, workload, name, parts, counts_of)
    return rows + [[f"{name}: {why}"] for name, why in checked.excluded.items()]


def _ratios(of: dict[str, Timings]) -> list[str]:
    """Ours to the fastest peer's."""
    found = []
    for part in _COUNTED:
        peers = [parts[part].median for name, parts in of.items() if name != OURS]
        found.append(f"{of[OURS][part].median / min(peers):.2f}" if peers else "")
    return found


def _add(
    results: Results, workload: Workload, name: str, parts: Timings, counts: dict[str, Counts]
) -> None:
    for part, timing in parts.items():
        what = described(workload, torch.float32) | {"provider": name}
        what["part"] = "" if part == "both" else part
        counted_ = counts[part].columns() if part in counts else {}
        results.add(what | timing_columns(timing) | counted_)


def _without_grad(problem: Problem, form: Form) -> Call:
    @torch.no_grad()
    def call() -> None:
        form(*problem.inputs)

    return call
