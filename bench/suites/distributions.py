"""Log-probabilities of ``torch.distributions``, the distribution made anew each time as a model
does: with the drop-in and without, from a few elements on. ``elements`` are summed by nobody before
the loss, ``Independent`` sums those of a datapoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.distributions as td
from operations.description import Form
from operations.operands import Random
from torch import Tensor
from torch.distributions import Distribution

from bench.harness.measure import Effort
from bench.harness.report import Results, dtype_name, print_table, timing_columns
from bench.harness.timing import interleaved
from bench.problems.providers import OURS
from bench.problems.workloads import Problem
from vaekern.compat.torch_distributions import distributions

SHAPES = ((2, 4), (16, 32), (32, 128), (128, 784))
SUMS = ("elements", "Independent")
_TORCH = "distributions"
_TOLERANCE = 1e-4  # of the results and of gradients, relative to their largest element
_CPU = torch.device("cpu")
_COUNTS = 10**9  # of a multinomial: at most

#: Of a real number and a positive one for each element.
_Family = Callable[[Tensor, Tensor], Distribution]
FAMILIES: dict[str, _Family] = {
    "Normal": lambda real, positive: td.Normal(real, positive, validate_args=False),
    "Bernoulli": lambda real, _: td.Bernoulli(logits=real, validate_args=False),
    "Laplace": lambda real, positive: td.Laplace(real, positive, validate_args=False),
    "Poisson": lambda _, positive: td.Poisson(positive, validate_args=False),
    "NegativeBinomial": lambda real, positive: td.NegativeBinomial(
        positive, logits=real, validate_args=False
    ),
    "StudentT": lambda real, positive: td.StudentT(5.0, real, positive, validate_args=False),
    "ContinuousBernoulli": lambda real, _: td.ContinuousBernoulli(logits=real, validate_args=False),
    "Multinomial": lambda real, _: td.Multinomial(_COUNTS, logits=real, validate_args=False),
}
_OF_UNIT, _OF_BITS = ("ContinuousBernoulli",), ("Bernoulli",)
_OF_COUNTS = ("Poisson", "NegativeBinomial", "Multinomial")


def run(families: Sequence[str], effort: Effort, results: Results) -> None:
    """Prints microseconds of a step, and what torch takes divided by what vaekern takes."""
    rows = []
    for family in families:
        for sums in SUMS if family != "Multinomial" else SUMS[:1]:  # that sums its classes
            for shape in SHAPES:
                rows.append(_measure(family, sums, shape, effort, results))
    print("\nforward and backward, float32: microseconds")
    print_table(["log_prob of", _TORCH, OURS, f"{_TORCH} / {OURS}"], rows)


def _measure(
    family: str, sums: str, shape: tuple[int, int], effort: Effort, results: Results
) -> list[str]:
    step = _problem(family, shape, torch.float32)
    forms = {_TORCH: _by_torch(family, sums), OURS: _by_kernels(family, sums)}
    _check(family, shape, forms)
    timings = interleaved(
        {name: step.timed_step(form) for name, form in forms.items()}, effort.rounds, effort.seconds
    )
    name = f"{family}, {sums}, {shape[0]}x{shape[1]}"
    for provider in forms:
        what = {"workload": f"log_prob {name}", "provider": provider}
        what["dtype"] = dtype_name(torch.float32)
        results.add(what | timing_columns(timings[provider]["both"]))
    theirs, ours = (timings[provider]["both"].median for provider in forms)
    return [name, f"{theirs * 1e6:.1f}", f"{ours * 1e6:.1f}", f"{theirs / ours:.2f}"]


def _problem(family: str, shape: tuple[int, int], dtype: torch.dtype) -> Problem:
    random = Random(torch.float32, _CPU, seed=0)
    leaves = {"real": random.normal(shape), "positive": random.normal(shape).exp()}
    leaves = {name: leaf.to(dtype).requires_grad_() for name, leaf in leaves.items()}
    x = random.normal(shape)
    if family in _OF_UNIT:
        x = x.sigmoid()
    elif family in _OF_BITS:
        x = (x > 0.0).float()
    elif family in _OF_COUNTS:
        x = torch.poisson(torch.full(shape, 3.0), generator=random.generator)
    return Problem((*leaves.values(), x.to(dtype)), leaves, ({dtype: torch.ones((), dtype=dtype)},))


def _by_torch(family: str, sums: str) -> Form:
    return lambda real, positive, x: _made(family, sums, real, positive).log_prob(x).sum()


def _by_kernels(family: str, sums: str) -> Form:
    """By what the drop-in puts in the method's place, which needs not be there to be called."""
    method_of = td.Independent if sums == "Independent" else getattr(td, family)
    with distributions():
        log_prob = method_of.log_prob
    return lambda real, positive, x: log_prob(_made(family, sums, real, positive), x).sum()


def _made(family: str, sums: str, real: Tensor, positive: Tensor) -> Distribution:
    made = FAMILIES[family](real, positive)
    return td.Independent(made, 1, validate_args=False) if sums == "Independent" else made


def _check(family: str, shape: tuple[int, int], forms: dict[str, Form]) -> None:
    """Ours is what torch computes in double, with its gradients."""
    want = _problem(family, shape, torch.float64).results_and_gradients(forms[_TORCH])
    got = _problem(family, shape, torch.float32).results_and_gradients(forms[OURS])
    for right, ours in zip(want, got, strict=True):
        error = ((right - ours).abs().max() / right.abs().max()).item()
        if not error <= _TOLERANCE:
            raise RuntimeError(f"distributions: {family} is off by {error:.2g}")
