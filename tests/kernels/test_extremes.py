"""Infinities, NaN, denormals and the ends of every format: limits where they exist, NaN where they
do not, from the kernels and from the reference alike."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import backends
import pytest
import torch
from compare import leaves
from operations.arguments import SCALES
from operations.case import Case, label_of
from operations.ends import INF, MAX, NAN, TINY
from operations.every import CASES, LIMITS, UNMASKED
from torch import Tensor

import vaekern as vk

#: A function of the library, its constants, its arguments, then its value and gradients.
Limit = tuple[str, dict[str, object], tuple[float, ...], tuple[float | None, ...]]


def values_and_gradients(
    function: str, constants: Mapping[str, object], rows: Sequence[Sequence[float]]
) -> list[list[float]]:
    """Of datapoints of one element: the value, then the gradient of each argument."""
    tensors = [
        torch.tensor(x, device=backends.device).unsqueeze(1).requires_grad_()
        for x in zip(*rows, strict=True)
    ]
    value = getattr(vk, function)(*tensors, **constants)
    found = [value, *torch.autograd.grad(value.sum(), tensors)]
    return torch.cat([t.view(-1, 1) for t in found], dim=1).tolist()


def assert_equal(got: Sequence[float], want: tuple[float | None, ...], where: str = "") -> None:
    """To 1e-5: this is about limits, digits are test_accuracy's. None: not specified."""
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        if b is not None:
            same = (math.isnan(a) and math.isnan(b)) or a == b or math.isclose(a, b, rel_tol=1e-5)
            assert same, f"{where}number {k}: got {a}, want {b}; all: {got}"


def _alike() -> Iterator[Any]:
    """Those that one launch computes, with their own name."""

    def kind(limit: Limit) -> tuple[str, str, int]:
        function, constants, numbers, _ = limit
        return function, ", ".join(f"{k}={v}" for k, v in constants.items()), len(numbers)

    for (function, constants, n), limits in itertools.groupby(sorted(LIMITS, key=kind), kind):
        yield pytest.param(list(limits), id=f"{function}({constants})-{n}")


@pytest.mark.parametrize("limits", list(_alike()))
def test_limits(limits: list[Limit], implementation: str) -> None:
    function, constants, *_ = limits[0]
    rows = values_and_gradients(function, constants, [numbers for _, _, numbers, _ in limits])
    for (_, _, numbers, want), got in zip(limits, rows, strict=True):
        assert_equal(got, want, f"at {numbers}, ")


@pytest.mark.parametrize(
    ("mu", "logvar", "eps", "z"),
    [
        (1.0, -INF, 2.0, 1.0),
        (1.0, -300.0, 2.0, 1.0),
        (0.0, -104.0, 1.0, math.exp(-52.0)),
        (0.0, 177.0, 1.0, math.exp(88.5)),
        (0.0, 200.0, 1.0, INF),
        (0.0, INF, -1.0, -INF),
        (INF, 0.0, 1.0, INF),
        (0.0, 0.0, INF, INF),
        (NAN, 0.0, 1.0, NAN),
        (0.0, NAN, 1.0, NAN),
        (0.0, 0.0, NAN, NAN),
        (TINY, -INF, 0.0, 1.401298464e-45),
    ],
)
def test_samples(mu: float, logvar: float, eps: float, z: float, implementation: str) -> None:
    arguments = [torch.tensor([x], device=backends.device) for x in (mu, logvar, eps)]
    assert_equal([vk.reparameterize(*arguments).item()], (z,))
    sample, _ = vk.sample_with_kl(*arguments[:2], eps=arguments[2])
    assert_equal([sample.item()], (z,))


@pytest.mark.table
@pytest.mark.parametrize("case", CASES, ids=label_of)
def test_nan_propagates_from_every_argument(case: Case, implementation: str) -> None:
    """Into its datapoint's value and into no other's, unless a mask leaves it out; into its own
    gradient where the value is not linear in it."""
    for k, argument in enumerate(case.arguments):
        tensors = case.make((3, 4, 5))
        if not tensors[k].is_floating_point():
            continue
        tensors[k].flatten()[0].fill_(NAN)
        reaches = _everywhere(tensors[k], argument.kind, case)
        for mask, other in zip(tensors, case.arguments, strict=True):
            if other.role == "mask":
                reaches = reaches & mask
        results = case(*map(backends.put, tensors))
        for result, kind in zip([r.cpu() for r in results], case.results, strict=True):
            if kind == "element" and argument.name.startswith("prior"):
                assert result.isfinite().all()
                continue
            hit = reaches if kind == "element" else reaches.flatten(1).any(1)
            if kind == "datapoint" and argument.role == "eps":
                hit = torch.zeros_like(hit)
            if result.dim() > hit.dim():  # each class, for which all of a row counts
                hit = hit.unsqueeze(-1).expand_as(result)
            assert torch.equal(result.isnan(), hit), argument.name


def _everywhere(tensor: Tensor, kind: str, case: Case) -> Tensor:
    if kind == "channel":
        tensor = tensor[:, None]
    if kind.endswith("classes") or kind == "one_row":
        return tensor.isnan().any(-1).expand(3, 4, 5)
    return tensor.isnan().expand(3, 4, 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_ends_of_half_precision(dtype: torch.dtype, implementation: str) -> None:
    """Stored results overflow to infinity, subnormals are kept, losses do not overflow."""
    end = torch.finfo(dtype)
    mu = torch.tensor([end.max, end.max, end.smallest_normal / 4, -end.max])
    log_std = torch.tensor([0.0, math.log(end.max), -INF, math.log(end.max)])
    eps = torch.tensor([0.0, 2.0, 0.0, -2.0])
    mu, log_std, eps = (t.to(backends.device, dtype) for t in (mu, log_std, eps))
    z = vk.reparameterize(mu, log_std, eps, scale="log_std")
    assert z.tolist() == [end.max, INF, end.smallest_normal / 4, -INF]
    logits = torch.full((1, 1000), min(end.max, 1e4), dtype=dtype, device=backends.device)
    assert vk.bernoulli_log_likelihood(logits, torch.zeros_like(logits)).item() == pytest.approx(
        -1000.0 * logits[0, 0].item(), rel=1e-6
    )


@pytest.mark.table
@pytest.mark.parametrize("size", [0.0, -1.0, 1e-30, 1e30, INF, NAN])
@pytest.mark.parametrize(
    "case", [case for case in UNMASKED if not case.constants.get("coefficient")], ids=label_of
)
def test_upstream_gradients_of_any_size(case: Case, size: float) -> None:
    """A gradient is g times the derivative, also where that is zero, infinite or NaN. (Of one
    result; only arguments that are not shared, whose gradient is one such product, and no
    multinomial coefficient, whose gradient is added to another.)"""
    tensors = case.make((2, 3))
    for k in range(len(case.results)):
        found = []
        for g in (1.0, size):
            inputs = leaves(tensors)
            wanted = [
                t for t, a in zip(inputs, case.arguments, strict=True)
                if t.requires_grad and a.is_full
            ]  # fmt: skip
            result = case(*inputs)[k]
            found.append(
                torch.autograd.grad(result, wanted, torch.full_like(result, g), allow_unused=True)
            )
        for unit, got in zip(*found, strict=True):
            if unit is not None and unit.any():  # else: this result does not depend on it
                torch.testing.assert_close(got, size * unit, rtol=1e-6, atol=0.0, equal_nan=True)


GRID = (0.0, -0.0, 1.0, -1.0, 1e-3, TINY, -TINY, 88.0, -88.0, 104.0, -177.0, 1e4, -1e4, 1e30,
        INF, -INF, NAN)  # fmt: skip


def _inverse_is_held(tensors: list[Tensor], spread: int, n: int, scale: str) -> Tensor:
    """Where 1 / std of the last spread fits float32, or the distance it scales is not tiny."""
    if n == 2:
        return torch.ones_like(tensors[0], dtype=torch.bool)
    least = {"logvar": -176.0, "log_std": -88.0, "std": 1e-37}[scale]
    other = tensors[1] if n == 3 else tensors[2]
    distance = (tensors[0] - other).abs()
    return ~((tensors[spread] < least) & (distance > 0) & (distance < 1e-30))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
    ("function", "spreads", "n"),
    [("gaussian_kl", (1,), 2), ("gaussian_log_likelihood", (2,), 3), ("gaussian_kl", (1, 3), 4)],
)
def test_every_combination_of_extremes(
    function: str, spreads: tuple[int, ...], n: int, scale: str
) -> None:
    """Kernels in float32 against the reference in float64, where little overflows. A result
    beyond float32 is infinite; beyond half of it it may be: a square overflows before its half."""
    deviations = [abs(x) for x in GRID if x == 0.0 or not abs(x) < 1e-38]  # with an inverse
    own = [deviations if scale == "std" and k in spreads else GRID for k in range(n)]
    tensors = [t.flatten() for t in torch.meshgrid(*map(torch.tensor, own), indexing="ij")]
    # Where 1 / std is beyond float32 its end is taken, which tiny distances show.
    tensors = [t[_inverse_is_held(tensors, spreads[-1], n, scale)] for t in tensors]
    got = getattr(vk, function)(*tensors, scale=scale)
    want = getattr(vk.reference, function)(*[t.double() for t in tensors], scale=scale).float()
    want = torch.where((want.abs() > 0.5 * MAX) & (got.abs() == INF), INF * want, want)
    wrong = ~torch.isclose(got, want, rtol=1e-5, atol=1e-5, equal_nan=True)
    first = [
        f"{tuple(t[k].item() for t in tensors)}: got {got[k]}, want {want[k]}"
        for k in wrong.nonzero().flatten()[:5]
    ]
    assert not wrong.any(), f"{int(wrong.sum())} of {wrong.numel()} differ: {first}"
