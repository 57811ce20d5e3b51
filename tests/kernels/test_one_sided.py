"""Divergences of which each side gets a gradient of its own: evaluated once, they are those of the
two stop-gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from loss_problem import F64, normal
from torch import Tensor

from vaekern._backends import native
from vaekern._ops import registration
from vaekern._ops.call import Call
from vaekern._ops.one_sided import one_sided, stopping_gradients
from vaekern._ops.softmax import CategoricalKLOp
from vaekern.functional.categoricals import categorical_kl_call
from vaekern.functional.gaussian import kl_call

V, K, B = 3, 5, 4


def of_classes(*logits: Tensor) -> Call:
    mask = torch.arange(B * V).reshape(B, V) % 5 != 0
    return categorical_kl_call(*logits, 0.1, 1).masked(mask)


def of_gaussians(*parameters: Tensor) -> Call:
    return kl_call(*parameters, "logvar", None, 1)


Case = tuple[Callable[..., Call], list[tuple[int, ...]]]
CASES: dict[str, Case] = {
    "classes": (of_classes, [(B, V, K)] * 2),
    "classes, shared prior": (of_classes, [(B, V, K), (V, K)]),
    "Gaussians": (of_gaussians, [(B, V)] * 4),
    "Gaussians, shared prior": (of_gaussians, [(B, V), (B, V), (V,), (V,)]),
}


def leaves_of(case: Case, dtype: torch.dtype = F64) -> list[Tensor]:
    return [normal(*shape, seed=k).to(dtype).requires_grad_() for k, shape in enumerate(case[1])]


def loss(two: tuple[Tensor, Tensor]) -> Tensor:
    """Of different factors for each datapoint and each side, some of them 0."""
    factors = torch.linspace(0.0, 2.0, B)
    return (two[0] * factors).sum() + (two[1] * (1.5 - factors).clamp(min=0.0)).sum()


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is executed, in order."""
    found: list[str] = []
    for owner, name in (
        (registration.RegisteredOp, "execute"),
        (registration.RegisteredOp, "execute_vjp"),
        (CategoricalKLOp, "gradients_of_sides"),
    ):
        of_library = getattr(owner, name)

        def counted(op: object, *args: object, _of: object = of_library, _name: str = name):  # type: ignore[no-untyped-def]
            found.append(_name)
            return _of(op, *args)  # type: ignore[operator]

        monkeypatch.setattr(owner, name, counted)
    return found


@pytest.mark.parametrize("dtype", [F64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_the_two_stop_gradients(case: Case, dtype: torch.dtype) -> None:
    make, of_posterior = case[0], len(case[1]) // 2
    leaves = leaves_of(case, dtype)
    expected = stopping_gradients(make(*leaves), of_posterior)
    found = one_sided(make(*leaves), of_posterior)
    torch.testing.assert_close(found, expected, rtol=0.0, atol=0.0)
    for of_loss in (loss, lambda two: two[0].sum(), lambda two: two[1].sum()):
        want = torch.autograd.grad(of_loss(expected), leaves, retain_graph=True, allow_unused=True)
        got = torch.autograd.grad(of_loss(found), leaves, retain_graph=True, allow_unused=True)
        torch.testing.assert_close(got, want)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_second_derivatives_stop_too(case: Case) -> None:
    """None of one side's gradient by the other's parameters."""
    make, of_posterior = case[0], len(case[1]) // 2

    def second(function: Callable[[Call, int], tuple[Tensor, Tensor]]) -> tuple[Tensor, ...]:
        leaves = leaves_of(case)
        two = function(make(*leaves), of_posterior)
        first = torch.autograd.grad(loss(two), leaves, create_graph=True)
        return torch.autograd.grad(sum(g.square().sum() for g in first), leaves)

    torch.testing.assert_close(second(one_sided), second(stopping_gradients))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_under_transforms_and_compile(case: Case) -> None:
    make, of_posterior = case[0], len(case[1]) // 2
    leaves = [leaf.detach() for leaf in leaves_of(case)]

    def function(*each: Tensor) -> Tensor:
        return loss(one_sided(make(*each), of_posterior))

    at = tuple(range(len(leaves)))
    want = torch.func.grad(function, at)(*leaves)
    own = [leaf.clone().requires_grad_() for leaf in leaves]
    torch.testing.assert_close(torch.autograd.grad(function(*own), own), want)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(torch.autograd.grad(compiled(*own), own), want)


@pytest.mark.skipif(native.core is None, reason="needs the CPU's kernels")
@pytest.mark.parametrize(
    ("name", "dtype", "backwards"),
    [
        ("classes", torch.float32, "gradients_of_sides"),
        ("classes", torch.bfloat16, "gradients_of_sides"),
        ("classes, shared prior", torch.bfloat16, "gradients_of_sides"),
        ("Gaussians", torch.float32, "execute_vjp"),
    ],
)
def test_one_evaluation_each_way(
    name: str, dtype: torch.dtype, backwards: str, evaluations: list[str]
) -> None:
    make, of_posterior = CASES[name][0], len(CASES[name][1]) // 2
    leaves = leaves_of(CASES[name], dtype)
    value = loss(one_sided(make(*leaves), of_posterior))
    assert evaluations == ["execute"]
    torch.autograd.grad(value, leaves)
    assert evaluations == ["execute", backwards]


@pytest.mark.parametrize("dtype", [F64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_many_gradients_at_once(case: Case, dtype: torch.dtype) -> None:
    leaves = leaves_of(case, dtype)
    two = torch.stack(one_sided(case[0](*leaves), len(case[1]) // 2))
    upstream = torch.linspace(-1.0, 2.0, 3 * two.numel()).to(two.dtype).reshape(3, *two.shape)
    found = torch.autograd.grad(two, leaves, upstream, is_grads_batched=True, retain_graph=True)
    each = [torch.autograd.grad(two, leaves, g, retain_graph=True) for g in upstream]
    for got, want in zip(found, zip(*each, strict=True), strict=True):
        torch.testing.assert_close(got, torch.stack(want))
