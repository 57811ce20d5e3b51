"""Every backend against the reference in float64: values, gradients and dtypes."""

from __future__ import annotations

import math
from collections.abc import Callable

import backends
import pytest
import torch
from compare import check_against_oracle, run
from operations.case import DTYPES, Case, Layout, Shape, label_of, name_of
from operations.every import CASES, ONE_PER_OP, REPRESENTATIVES
from torch import Tensor

import vaekern as vk
from vaekern._ops.table import SOFTMAXES

SHAPES: tuple[tuple[Shape, int], ...] = (
    ((), 0),
    ((1,), 0),
    ((1,), 1),
    ((3,), 0),
    ((3,), 1),
    ((0,), 0),
    ((0,), 1),
    ((0, 5), 1),
    ((4, 0), 1),
    ((2, 0, 3), 1),
    ((2, 3, 0), 2),
    ((5, 1), 1),
    ((1, 7), 1),
    ((2, 3), 0),
    ((2, 3), 2),
    ((2, 255), 1),
    ((3, 1023), 1),
    ((2, 1024), 1),
    ((2, 1025), 1),
    ((2, 2500), 1),
    ((1025, 3), 1),
    ((2500,), 0),
    ((2, 3, 4, 5), 0),
    ((2, 3, 4, 5), 1),
    ((2, 3, 4, 5), 2),
    ((2, 3, 4, 5), 4),
    ((2, 3, 1, 5), 1),
)
FOR_TWO_THREADS = (32, 2, 16, 32)  # just enough elements

MIXTURES = (
    (torch.bfloat16, torch.float32),
    (torch.float32, torch.bfloat16),
    (torch.float32, torch.float64),
    (torch.float16, torch.bfloat16),
    (torch.float64, torch.float16, torch.float32),
)


OF_ROWS = {op.name for op in SOFTMAXES}


def _into_larger(t: Tensor, dim: int, step: int, start: int) -> Tensor:
    shape = list(t.shape)
    shape[dim] = shape[dim] * step + start
    larger = t.new_zeros(shape)
    view = larger.narrow(dim, start, t.shape[dim] * step)
    view = view.unflatten(dim, (t.shape[dim], step)).select(dim % t.dim() + 1, 0)
    return view.copy_(t)


def _misaligned(t: Tensor) -> Tensor:
    """One element beyond an aligned address."""
    return t.new_zeros(t.numel() + 1)[1:].view(t.shape).copy_(t)


def _negated(t: Tensor) -> Tensor:
    """A view whose memory holds the opposite numbers (torch's "negative bit")."""
    if not t.is_floating_point():
        return t
    return torch._neg_view(-t)


LAYOUTS: dict[str, Layout] = {
    "transposed": lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
    "channels_last": lambda t: t.contiguous(
        memory_format=torch.channels_last if t.dim() == 4 else torch.channels_last_3d
    ),
    "step_inside": lambda t: _into_larger(t, -1, 2, 0),
    "step_in_batch": lambda t: _into_larger(t, 0, 3, 1),
    "wide_rows": lambda t: _into_larger(t, 1, 1, 2),
    "expanded_batch": lambda t: t[:1].expand(t.shape),
    "expanded_inside": lambda t: t[..., :1].expand(t.shape),
    "expanded_all": lambda t: t.flatten()[0].expand(t.shape),
    "misaligned": _misaligned,
    "negated": _negated,
}


@pytest.mark.table
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("case", CASES, ids=label_of)
def test_dtypes(case: Case, dtype: torch.dtype, backend: str) -> None:
    rows = 2 if backend == "triton" else 3
    check_against_oracle(case, case.make((rows, 4, 5, 7), dtype), backend=backend)


@pytest.mark.table
@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
@pytest.mark.parametrize("case", REPRESENTATIVES, ids=label_of)
def test_instruction_sets(case: Case, dtype: torch.dtype, isa: str) -> None:
    check_against_oracle(case, case.make((3, 4, 5, 7), dtype), backend="cpu")


@pytest.mark.table
@pytest.mark.parametrize("dtypes", MIXTURES, ids=lambda m: "-".join(map(name_of, m)))
@pytest.mark.parametrize("case", REPRESENTATIVES, ids=label_of)
def test_mixed_dtypes(case: Case, dtypes: tuple[torch.dtype, ...], backend: str) -> None:
    check_against_oracle(case, case.make((3, 11), dtypes), backend=backend)


@pytest.mark.table
@pytest.mark.parametrize(("shape", "batch_dims"), SHAPES, ids=str)
@pytest.mark.parametrize("case", REPRESENTATIVES, ids=label_of)
def test_shapes(case: Case, shape: Shape, batch_dims: int, backend: str) -> None:
    tensors = case.make(shape, torch.float32, batch_dims)
    check_against_oracle(case, tensors, batch_dims, backend=backend)


@pytest.mark.table("kernel", "dtype")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=name_of)
@pytest.mark.parametrize("case", REPRESENTATIVES, ids=label_of)
def test_two_threads(case: Case, dtype: torch.dtype, set_threads: Callable[[int], None]) -> None:
    set_threads(2)  # however many processes share the processors
    check_against_oracle(case, case.make(FOR_TWO_THREADS, dtype), backend="cpu")


@pytest.mark.table
@pytest.mark.parametrize(("shape", "batch_dims"), SHAPES, ids=str)
@pytest.mark.parametrize("case", ONE_PER_OP, ids=label_of)
def test_shapes_of_half_precision(
    case: Case, shape: Shape, batch_dims: int, fast_backend: str
) -> None:
    tensors = case.make(shape, torch.bfloat16, batch_dims)
    check_against_oracle(case, tensors, batch_dims, backend=fast_backend)


def _shape_for(case: Case, backend: str) -> Shape:
    """A few blocks, of a size that each backend can do quickly: Triton's interpreter one after the
    other, and the emulation of CUDA a row of logits."""
    if backend == "triton":
        return 2, 6, 7, 10
    return (4, 6, 5, 10) if backend == "cuda" and case.op in OF_ROWS else (4, 6, 33, 10)


@pytest.mark.table
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", REPRESENTATIVES, ids=label_of)
def test_layouts(case: Case, layout: str, backend: str) -> None:
    tensors = case.make(_shape_for(case, backend), torch.float32, layout=LAYOUTS[layout])
    check_against_oracle(case, tensors, backend=backend)


@pytest.mark.table
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", REPRESENTATIVES, ids=label_of)
def test_layouts_of_half_precision(case: Case, layout: str, fast_backend: str) -> None:
    tensors = case.make(_shape_for(case, fast_backend), torch.float16, layout=LAYOUTS[layout])
    check_against_oracle(case, tensors, backend=fast_backend)


@pytest.mark.table
@pytest.mark.parametrize("case", REPRESENTATIVES, ids=label_of)
def test_arguments_of_different_layouts(case: Case, backend: str) -> None:
    layouts = iter([*LAYOUTS.values()] * 2)
    rows = 2 if backend == "triton" else 4
    tensors = case.make((rows, 6, 9, 10), layout=lambda t: next(layouts)(t))
    check_against_oracle(case, tensors, backend=backend)


@pytest.mark.table
@pytest.mark.parametrize("case", REPRESENTATIVES, ids=label_of)
def test_upstream_gradients_of_any_layout(case: Case, backend: str) -> None:
    """What ``sum().backward()`` sends: one number, expanded; and a transposed gradient."""
    tensors = case.make((6, 5))
    shapes = [r.shape for r in case(*tensors)]
    for view in (
        lambda t: t.flatten()[0].expand(t.shape),
        lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
        lambda t: _into_larger(t, 0, 2, 1),
    ):
        upstream = [view(torch.randn(shape)) for shape in shapes]
        dense = [g.contiguous() for g in upstream]
        got = run(case, tensors, upstream, backend=backend)
        want = run(case, tensors, dense, backend=backend)
        for a, b in zip(got.gradients, want.gradients, strict=True):
            assert a is b is None or torch.equal(a, b)


@pytest.mark.parametrize(
    "terms", [2**19 + 3, pytest.param(2**22 + 3, marks=pytest.mark.exhaustive)]
)
def test_long_sums_keep_their_digits(terms: int, backend: str) -> None:
    """Float64 over tiles: in float32, sums of 4 million terms would lose 1e-4."""
    if backend == "triton":
        terms //= 4  # interpreted
    mu = torch.full((1, terms), 0.1, device=backends.device)
    with vk.backend(backend):
        got = vk.gaussian_kl(mu, torch.zeros_like(mu)).item()
    want = 0.5 * mu[0, 0].double().item() ** 2 * mu.numel()
    assert math.isclose(got, want, rel_tol=2.0**-23)
