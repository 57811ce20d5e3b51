"""What a mask leaves out adds exactly 0 to values and gradients, whatever lies there."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from compare import leaves, same_bits, upstream_for
from operations.case import Case, label_of
from operations.every import CASES
from torch import Tensor

import vaekern as vk

MASKED = [case for case in CASES if case.label.endswith("_mask")]
ANYTHING = (math.nan, math.inf, -math.inf, 3e38)

every_case = pytest.mark.parametrize("case", MASKED, ids=label_of)


def mask_of(case: Case, tensors: Sequence[Tensor]) -> Tensor:
    (mask,) = [t for a, t in zip(case.arguments, tensors, strict=True) if a.role == "mask"]
    return mask


def outside_of(case: Case, tensors: Sequence[Tensor]) -> Tensor:
    """The first argument's elements that do not count; of logits of classes, whole rows."""
    mask = mask_of(case, tensors)
    if case.arguments[0].kind == "classes":
        mask = mask.unsqueeze(-1)
    return ~mask.expand(tensors[0].shape)


def results_and_gradients(case: Case, tensors: Sequence[Tensor], size: float = 1.0) -> list[Tensor]:
    inputs = leaves(tensors)
    upstream = [size * g.to(inputs[0].device) for g in upstream_for(case, tensors)]
    results = case(*inputs)
    found = torch.autograd.grad(results, [t for t in inputs if t.requires_grad], upstream)
    return [r.detach() for r in results] + list(found)


def with_anything_outside(case: Case, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The same numbers inside of the mask."""
    outside = outside_of(case, tensors)
    n = outside.numel()
    anything = torch.tensor(ANYTHING).repeat(n)[:n].reshape(outside.shape)
    return [
        torch.where(outside, anything.to(t.dtype), t)
        if t.shape == outside.shape and t.is_floating_point()
        else t
        for t in tensors
    ]


@pytest.mark.table
@every_case
def test_what_lies_outside_changes_nothing(case: Case, implementation: str) -> None:
    tensors = case.make((3, 5, 8))
    wanted = results_and_gradients(case, tensors)
    found = results_and_gradients(case, with_anything_outside(case, tensors))
    assert all(map(same_bits, found, wanted))
    outside = outside_of(case, tensors).to(wanted[0].device)
    assert bool(outside.any())
    for gradient in found[len(case.results) :]:
        if gradient.shape == outside.shape:
            assert torch.equal(gradient[outside], torch.zeros_like(gradient[outside]))


@pytest.mark.table
@every_case
def test_a_mask_that_is_false_throughout(case: Case, implementation: str) -> None:
    tensors = case.make((3, 5, 8))
    mask_of(case, tensors).fill_(False)
    tensors = with_anything_outside(case, tensors)
    for upstream in (1.0, math.inf, math.nan):
        for found in results_and_gradients(case, tensors, upstream):
            assert torch.equal(found, torch.zeros_like(found))


@pytest.mark.table
@every_case
def test_a_mask_that_is_true_throughout(case: Case, backend: str) -> None:
    tensors = case.make((3, 5, 8))
    mask_of(case, tensors).fill_(True)
    at = [k for k, a in enumerate(case.arguments) if a.role != "mask"]
    arguments = tuple([case.arguments[k] for k in at])
    unmasked = Case(case.label, case.op, case.function, arguments, case.constants)
    with vk.backend(backend):
        wanted = results_and_gradients(unmasked, [tensors[k] for k in at])
        assert all(map(same_bits, results_and_gradients(case, tensors), wanted))


@pytest.mark.table
@every_case
def test_derivatives_of_derivatives_are_finite(case: Case) -> None:
    """Second order and forward mode, with tangents that are anything outside too."""
    tensors = with_anything_outside(case, case.make((2, 3, 4), torch.float64))
    inputs = leaves(tensors)
    wanted = [t for t in inputs if t.requires_grad]
    (result,) = case(*inputs)
    first = torch.autograd.grad(result.sum(), wanted, create_graph=True)
    second = torch.autograd.grad(sum((g * g).sum() for g in first), wanted)
    assert all(bool(g.isfinite().all()) for g in second)

    def function(*values: Tensor) -> Tensor:
        rest = iter(values)
        return case(*[next(rest) if t.requires_grad else t for t in inputs])[0]

    primals = tuple([t.detach() for t in wanted])
    pushed = torch.func.jvp(function, primals, primals)[1]
    assert bool(pushed.isfinite().all())


def test_samples_have_no_mask() -> None:
    mu = torch.zeros(2, 3)
    for function in (vk.reparameterize, vk.sample_with_kl):
        with pytest.raises(TypeError, match="mask"):
            function(mu, mu, mask=mu > 0)
