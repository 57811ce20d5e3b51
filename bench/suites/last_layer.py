"""A decoder's last linear layer with many outputs, and their likelihood: time and memory of a step,
from what the layer takes to the gradients of that and of the layer's parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from operations.description import Form
from operations.operands import Random
from torch import Tensor
from torch.nn import functional

import vaekern as vk
from bench.harness.measure import Effort
from bench.harness.report import Results, dtype_name, print_table, timing_columns
from bench.harness.timing import interleaved
from bench.problems.providers import OURS
from bench.problems.workloads import Problem
from bench.suites import memory

SHAPE = (4096, 256, 50_000)
_SMALL = (7, 5, 300)
_TOLERANCE = 1e-4  # of the loss and of gradients, relative to their largest element

_CPU = torch.device("cpu")

# --- the loss: minus the log-likelihood of a datapoint, averaged over them ------------------------


def _bernoulli(hidden: Tensor, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    logits = functional.linear(hidden, weight, bias)
    return functional.binary_cross_entropy_with_logits(logits, x, reduction="sum") / len(x)


def _gaussian(hidden: Tensor, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    means = functional.linear(hidden, weight, bias)
    constant = math.log(2.0 * math.pi) * x.shape[1]
    return 0.5 * (functional.mse_loss(means, x, reduction="sum") / len(x) + constant)


def _categorical(hidden: Tensor, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
    return functional.cross_entropy(functional.linear(hidden, weight, bias), x)


_EAGER: dict[str, Form] = {
    "bernoulli": _bernoulli,
    "gaussian": _gaussian,
    "categorical": _categorical,
}
LIKELIHOODS = tuple(_EAGER)
CANDIDATES = ("eager", "compile-eager", "two-steps", "per-datapoint")  # beside OURS


def _ours(likelihood: str, reduction: str) -> Form:
    function = getattr(vk, f"linear_{likelihood}_log_likelihood")

    def loss(hidden: Tensor, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        return -function(hidden, weight, bias, x, reduction=reduction).mean()

    return loss


def _two_steps(likelihood: str) -> Form:
    """The layer, and vaekern's likelihood of all its outputs."""
    function = getattr(vk, f"{likelihood}_log_likelihood")

    def loss(hidden: Tensor, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        return -function(functional.linear(hidden, weight, bias), x).mean()

    return loss


def _forms(likelihood: str) -> dict[str, Form]:
    eager = _EAGER[likelihood]
    forms = {"eager": eager, "compile-eager": torch.compile(eager, dynamic=False)}
    if hasattr(vk, f"{likelihood}_log_likelihood"):
        forms["two-steps"] = _two_steps(likelihood)
    forms["per-datapoint"] = _ours(likelihood, "none")
    return forms | {OURS: _ours(likelihood, "mean")}


# --- the suite ------------------------------------------------------------------------------------


def problem(likelihood: str, shape: Sequence[int], dtype: torch.dtype) -> Problem:
    rows, features, outputs = shape
    random = Random(dtype, _CPU, seed=0)
    leaves = {
        "hidden": random.normal((rows, features)),
        "weight": random.normal((outputs, features), std=features**-0.5),
        "bias": random.normal((outputs,)),
    }
    for leaf in leaves.values():
        leaf.requires_grad_()
    if likelihood == "categorical":
        x = torch.randint(outputs, (rows,), generator=random.generator)
    else:
        x = random.uniform((rows, outputs))
    one = {d: torch.ones((), dtype=d) for d in {torch.float32, torch.float64, dtype}}
    return Problem((*leaves.values(), x), leaves, (one,))


def run(
    likelihoods: Sequence[str],
    candidates: Sequence[str],
    shape: Sequence[int],
    effort: Effort,
    results: Results,
) -> None:
    """Prints times, and MiB saved for the backward and at the peak."""
    for likelihood in likelihoods:
        chosen = (*candidates, OURS)
        forms = {name: form for name, form in _forms(likelihood).items() if name in chosen}
        _check(likelihood, forms)
        torch.compiler.reset()
        _measure(likelihood, forms, shape, effort, results)
        torch.compiler.reset()


def _measure(
    likelihood: str,
    forms: dict[str, Form],
    shape: Sequence[int],
    effort: Effort,
    results: Results,
) -> None:
    size = "x".join(map(str, shape))
    step = problem(likelihood, shape, torch.float32)
    steps = {name: step.timed_step(form) for name, form in forms.items()}
    timings = interleaved(steps, effort.rounds, effort.seconds)
    print(f"\n{likelihood}, {size} (rows x features x outputs), float32")
    ours = timings[OURS]["both"].median
    rows = []
    for name, form in forms.items():
        taken, held = timings[name]["both"], memory.of_step(step, form)
        times = [f"{seconds * 1e3:.0f}" for seconds in (taken.median, taken.p20, taken.p80)]
        rows.append([name, *times, f"{taken.median / ours:.2f}", str(held)])
        what = {"workload": f"last layer {likelihood} {size}", "provider": name}
        row = what | {"dtype": dtype_name(torch.float32)}
        results.add(row | timing_columns(taken) | held.columns())
    header = ["step with", "median ms", "p20", "p80", f"/ {OURS}", "saved / peak MiB"]
    print_table(header, rows)


def _check(likelihood: str, forms: dict[str, Form]) -> None:
    """All are the same function, and have the same gradients."""
    exact = problem(likelihood, _SMALL, torch.float64)
    small = problem(likelihood, _SMALL, torch.float32)
    for of_double, of_single in zip(exact.inputs, small.inputs, strict=True):
        of_double.data.copy_(of_single.data)
    want = exact.results_and_gradients(_EAGER[likelihood])
    for name, form in forms.items():
        for got, right in zip(small.results_and_gradients(form), want, strict=True):
            error = ((got - right).abs().max() / right.abs().max()).item()
            if not error <= _TOLERANCE:
                raise RuntimeError(f"last_layer: {likelihood} by {name} is off by {error:.2g}")
