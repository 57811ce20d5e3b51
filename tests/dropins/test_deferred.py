"""Results that are computed when they are used: everything but a sum sees ordinary elements."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from agreement import normal
from torch import Tensor
from torch.autograd import Function

from vaekern.compat._deferred import Deferred, deferred

SHAPE = (2, 3, 4)


class Formula:
    """Of one of shape [2, 3, 4] and one of [4]; remembers how it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, dims: int, x: Tensor, scale: Tensor) -> Tensor:
        self.asked.append(dims)
        elements = torch.sin(x) * scale
        return elements.sum(tuple(range(-dims, 0))) if dims else elements


def tensors(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    drawn = [normal(*SHAPE), normal(4, seed=1).exp()]
    return [tensor.to(dtype).requires_grad_() for tensor in drawn]


def made(formula: Formula, inputs: list[Tensor]) -> Tensor:
    return deferred(formula, inputs[0].dtype, *inputs)


def gradients(result: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    weights = normal(*result.shape, seed=5).to(result.dtype)
    return [result, *torch.autograd.grad(result, inputs, weights)]


def check(use: Callable[[Tensor], Tensor], asked: list[int]) -> None:
    inputs, formula = tensors(), Formula()
    want = gradients(use(formula(0, *inputs)), inputs)
    formula.asked.clear()
    result = made(formula, inputs)
    assert type(result) is Deferred
    assert isinstance(result, Tensor)
    assert not formula.asked
    got = gradients(use(result), inputs)
    assert formula.asked == asked
    assert type(got[0]) is Tensor
    torch.testing.assert_close(got, want)


SUMS: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    "-1": (lambda t: t.sum(-1), 1),
    "dim=-1": (lambda t: t.sum(dim=-1), 1),
    "2": (lambda t: t.sum(2), 1),
    "torch.sum": (lambda t: torch.sum(t, dim=2), 1),
    "tuple": (lambda t: t.sum((1, -1)), 2),
    "minus": (lambda t: -t.sum([-1]), 1),
    "all": (lambda t: t.sum(), 3),
    "None": (lambda t: torch.sum(t, None), 3),
}


@pytest.mark.parametrize("name", SUMS)
def test_sums_over_the_last_dimensions(name: str) -> None:
    use, dims = SUMS[name]
    check(use, [dims])


OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "first": lambda t: t.sum(0),
    "not the last": lambda t: t.sum((0, 2)),
    "keepdim": lambda t: t.sum(-1, keepdim=True),
    "dtype": lambda t: t.sum(-1, dtype=torch.float64),
    "axis": lambda t: t.sum(axis=-1),
    "keyword": lambda t: torch.sum(input=t, dim=-1),
    "mean": lambda t: t.mean(-1),
    "minus": lambda t: (-t).sum(-1),
    "mask": lambda t: (t * torch.tensor([1.0, 0.0, 1.0, 1.0])).sum(-1),
    "index": lambda t: t[0, :, 1],
    "in a list": lambda t: torch.stack([t, t]).sum(-1),
    "reshape": lambda t: t.reshape(6, 4).sum(-1),
    "logsumexp": lambda t: torch.logsumexp(t, 0),
    "shape": lambda t: t.sum(-1) * t.shape[1],
    "numpy": lambda t: t * torch.from_numpy(np.asarray(t.detach())),
    "twice": lambda t: t.exp().sum(-1) + t.sum(-1),
}


@pytest.mark.parametrize("name", OTHERS)
def test_anything_else(name: str) -> None:
    """Elements, which are computed once."""
    asked = {"shape": [1, 0]}.get(name, [0])
    check(OTHERS[name], asked)


class Halved(Function):
    """Somebody's function, which takes tensors as they come."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.square()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * x


def test_functions_of_others_keep_gradients() -> None:
    inputs, formula = tensors(), Formula()
    want = gradients(Halved.apply(formula(0, *inputs)), inputs)
    got = gradients(Halved.apply(made(formula, inputs)), inputs)
    torch.testing.assert_close(got, want)


def test_inputs_that_depend_on_one_another() -> None:
    """Nothing is counted twice."""
    x = normal(*SHAPE).requires_grad_()

    def through(result: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        scale = 2.0 * x
        total = Halved.apply(result(x, scale)) + Halved.apply(result(x, x))
        return gradients(total, [x])

    formula = Formula()
    want = through(lambda a, b: formula(0, a, b))
    torch.testing.assert_close(through(lambda a, b: made(formula, [a, b])), want)


def test_second_derivatives() -> None:
    def penalty(result: Tensor, inputs: list[Tensor]) -> list[Tensor]:
        (slope,) = torch.autograd.grad(result.sum(), inputs[:1], create_graph=True)
        return list(torch.autograd.grad(slope.square().sum(), inputs))

    inputs, formula = tensors(), Formula()
    for use in (lambda t: t.sum(-1), torch.exp, Halved.apply):
        want = penalty(use(formula(0, *inputs)), inputs)
        torch.testing.assert_close(penalty(use(made(formula, inputs)), inputs), want)


def test_gradients_of_the_elements() -> None:
    """Also of a sum, where they were asked for before."""
    for ask in (Tensor.retain_grad, lambda t: t.register_hook(lambda g: 2.0 * g)):
        found = []
        for way in (lambda f, i: f(0, *i), made):
            inputs = tensors()
            result = way(Formula(), inputs)
            ask(result)
            result.sum(-1).sum().backward()
            found.append([*(t.grad for t in inputs), result.grad])
        torch.testing.assert_close(found[1], found[0])


def test_changed_in_place() -> None:
    inputs = tensors()
    found = []
    for result in (Formula()(0, *inputs), made(Formula(), inputs)):
        result[0] = 0.0
        found.append(gradients(result.sum(-1), inputs))
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("use", [lambda t: t.sum(-1), torch.exp, lambda t: t.backward(t)])
def test_inputs_that_changed(use: Callable[[Tensor], Any]) -> None:
    """An error, as the backward of what was computed before is one."""
    inputs = tensors()
    result = made(Formula(), inputs)
    with torch.no_grad():
        inputs[1].mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        use(result)


def test_attributes() -> None:
    inputs = tensors(torch.float32)
    result, like = made(Formula(), inputs), Formula()(0, *inputs)
    for name in ("shape", "dtype", "device", "ndim", "requires_grad", "is_leaf", "layout"):
        assert getattr(made(Formula(), inputs), name) == getattr(like, name)
    assert repr(result) == repr(like)
    assert len(result) == 2
    assert torch.equal(result, like)
    assert not made(Formula(), inputs).detach().requires_grad


def test_pickled_and_copied() -> None:
    """As ordinary tensors, which is what programs without vaekern can read."""
    inputs = tensors()
    like = Formula()(0, *inputs)
    buffer = io.BytesIO()
    torch.save(made(Formula(), inputs), buffer)
    buffer.seek(0)
    found = [
        pickle.loads(pickle.dumps(made(Formula(), inputs).detach())),
        torch.load(buffer),
        copy.copy(made(Formula(), inputs)),
        copy.deepcopy(made(Formula(), inputs).detach()),
    ]
    for again in found:
        assert type(again) is Tensor
        assert torch.equal(again, like)
    for original in (like, made(Formula(), inputs)):
        with pytest.raises(RuntimeError, match="deepcopy"):
            copy.deepcopy(original)


def test_at_once_where_no_gradients_are_recorded() -> None:
    inputs = tensors()
    with torch.no_grad():
        assert type(made(Formula(), inputs)) is Tensor
    with torch.inference_mode():
        assert type(made(Formula(), inputs)) is Tensor
    assert type(made(Formula(), [t.detach() for t in inputs])) is Tensor


def test_used_where_none_are_recorded() -> None:
    inputs, formula = tensors(), Formula()
    for mode in (torch.no_grad, torch.inference_mode):
        result = made(formula, inputs)
        with mode():
            assert not result.sum(-1).requires_grad
            assert not result.exp().requires_grad
        torch.testing.assert_close(
            gradients(result, inputs), gradients(formula(0, *inputs), inputs)
        )


def test_at_once_where_others_watch() -> None:
    inputs = tensors()

    def total(*of: Tensor) -> Tensor:
        result = made(Formula(), list(of))
        assert type(result) is not Deferred
        return result.sum(-1).sum()

    want = torch.autograd.grad(Formula()(0, *inputs).sum(), inputs)
    torch.testing.assert_close(torch.func.grad(total, (0, 1))(*inputs), want)


def test_shapes_are_checked_at_once() -> None:
    with pytest.raises(RuntimeError, match=r"[Ss]hape"):
        made(Formula(), [torch.ones(3, requires_grad=True), torch.ones(2)])


def test_compiled_code_takes_it() -> None:
    torch._dynamo.reset()
    inputs, formula = tensors(), Formula()
    compiled = torch.compile(lambda t: (2.0 * t).sum(-1), backend="eager")
    got = gradients(compiled(made(formula, inputs)), inputs)
    torch.testing.assert_close(got, gradients(2.0 * formula(1, *inputs), inputs))
