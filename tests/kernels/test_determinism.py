"""Bit for bit: the same results in every run, with any number of threads, in any batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from compare import Run, run, same_bits, upstream_for
from operations.case import DTYPES, Case, Shape, label_of, name_of
from operations.every import ONE_PER_OP, REPRESENTATIVES
from torch import Tensor

from vaekern._backends import cpu

SHAPES: dict[str, Shape] = {
    "long rows": (2, 100_003),
    "many short rows": (50_000, 3),
    "many columns": (700, 257),
    "images": (40, 3, 31, 33),
}


def results_and_gradients(found: Run) -> list[Tensor]:
    return found.results + [g for g in found.gradients if g is not None]


def same(a: Run, b: Run) -> bool:
    pairs = zip(results_and_gradients(a), results_and_gradients(b), strict=True)
    return all(same_bits(x, y) for x, y in pairs)


@pytest.mark.table("kernel", "shape")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", REPRESENTATIVES, ids=label_of)
def test_threads_and_runs(case: Case, shape: str, set_threads: Callable[[int], None]) -> None:
    tensors = case.make(SHAPES[shape])
    upstream = upstream_for(case, tensors)
    set_threads(1)
    want = run(case, tensors, upstream, backend="cpu")
    for threads in (1, 2, 3):
        set_threads(threads)
        assert same(run(case, tensors, upstream, backend="cpu"), want), f"{threads} threads"


def test_the_shapes_above_are_worth_several_threads(set_threads: Callable[[int], None]) -> None:
    set_threads(3)
    assert all(cpu.threads_for(torch.Size(shape).numel()) > 1 for shape in SHAPES.values())


@pytest.mark.table
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("shape", [(9, 1025), (300, 7), (5, 3, 4, 5)], ids=str)
@pytest.mark.parametrize("case", REPRESENTATIVES, ids=label_of)
def test_a_datapoint_alone_and_in_a_batch(case: Case, shape: Shape, dtype: torch.dtype) -> None:
    check_datapoints(case, case.make(shape, dtype), "cpu")


@pytest.mark.table("kernel", "backend", "shape")
@pytest.mark.parametrize("shape", [(5, 2049), (70, 7)], ids=str)
@pytest.mark.parametrize("case", ONE_PER_OP, ids=label_of)
def test_a_datapoint_alone_and_in_a_batch_on_every_backend(
    case: Case, shape: Shape, backend: str
) -> None:
    check_datapoints(case, case.make(shape), backend)


def check_datapoints(case: Case, tensors: Sequence[Tensor], backend: str) -> None:
    """Its values, and the gradients that are its own. (Noise from a seed belongs to an element's
    index: there, the first datapoints alone.)"""
    upstream = upstream_for(case, tensors)
    batch = run(case, tensors, upstream, backend=backend)
    n = len(tensors[0])
    for part in (slice(0, 1), slice(0, n // 2), slice(n - 1, n), slice(n // 3, n - 1)):
        if case.seeded and part.start > 0:
            continue
        own = _part(case, tensors, part)
        alone = run(case, own, [g[part] for g in upstream], backend=backend)
        for a, b in zip(alone.results, batch.results, strict=True):
            assert same_bits(a, b[part])
        for a, b, argument in zip(alone.gradients, batch.gradients, case.arguments, strict=True):
            if a is not None and b is not None and argument.is_full:
                assert same_bits(a, b[part])


def _part(case: Case, tensors: Sequence[Tensor], part: slice) -> list[Tensor]:
    """The arguments of some datapoints."""
    per_datapoint = [(a.is_full or a.kind == "batch") and a.role != "seed" for a in case.arguments]
    return [t[part] if own else t for t, own in zip(tensors, per_datapoint, strict=True)]


@pytest.mark.table
@pytest.mark.parametrize("case", REPRESENTATIVES, ids=label_of)
def test_layout_does_not_matter(case: Case) -> None:
    """A strided copy of the same numbers gives the same bits."""
    tensors = case.make((30, 40))
    strided = case.make((30, 40), layout=lambda t: t.transpose(0, 1).contiguous().transpose(0, 1))
    upstream = upstream_for(case, tensors)
    assert same(
        run(case, tensors, upstream, backend="cpu"), run(case, strided, upstream, backend="cpu")
    )
