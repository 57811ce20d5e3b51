"""``expanded_from`` finds what was expanded, where its gradients are those of the expansion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import Function

from vaekern._torch import expanded_from


class Reversed(Function):
    """A view of its argument, whose gradients are not those of a view."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return -gradient


def leaf() -> Tensor:
    return torch.arange(3.0).requires_grad_()


BASES: dict[str, Callable[[], Tensor]] = {
    "constant": lambda: torch.arange(3.0),
    "leaf": leaf,
    "parameter": lambda: torch.nn.Parameter(torch.arange(3.0)),
    "made": lambda: leaf().exp(),
    "scalar": lambda: torch.tensor(2.0, requires_grad=True),
    "column": lambda: torch.ones(4, 1, requires_grad=True).exp(),
}
EXPANSIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "expand": lambda t: t.expand(4, 3),
    "broadcast_tensors": lambda t: torch.broadcast_tensors(t, torch.ones(4, 3))[0],
    "twice": lambda t: t.expand(4, 3).expand(2, 4, 3),
}


@pytest.mark.parametrize("way", EXPANSIONS)
@pytest.mark.parametrize("of", BASES)
def test_found(of: str, way: str) -> None:
    base = BASES[of]()
    assert expanded_from(EXPANSIONS[way](base)) is base


OTHERS: dict[str, Callable[[Tensor], Tensor]] = {
    "itself": lambda t: t,
    "part": lambda t: t[1:].expand(4, 2),
    "first": lambda t: t[:1].expand(4, 1),
    "permuted": lambda t: t.expand(4, 3).t(),
    "copied": lambda t: t.expand(4, 3).contiguous(),
    "function of somebody's": lambda t: Reversed.apply(t).expand(4, 3),
    "function of an expansion": lambda t: Reversed.apply(t.expand(4, 3)),
}


@pytest.mark.parametrize("way", OTHERS)
def test_left(way: str) -> None:
    base = leaf()
    view = OTHERS[way](base)
    assert expanded_from(view) is view


def test_where_no_gradients_were_recorded() -> None:
    """The view has none, though what it is a view of has."""
    base = leaf()
    with torch.no_grad():
        view = base.expand(4, 3)
    assert expanded_from(view) is view
    detached = leaf().detach()
    assert expanded_from(detached.expand(4, 3)) is detached


def test_views_that_are_leaves() -> None:
    view = torch.arange(3.0).expand(4, 3).requires_grad_()
    assert expanded_from(view) is view


@pytest.mark.parametrize("ask", [Tensor.retain_grad, lambda t: t.register_hook(lambda g: 2.0 * g)])
def test_gradients_of_the_expansion_itself(ask: Callable[[Tensor], Any]) -> None:
    view = leaf().expand(4, 3)
    ask(view)
    assert expanded_from(view) is view


def test_gradients_are_the_same() -> None:
    for make in BASES.values():
        found = []
        for as_it_was in (False, True):
            base = make()
            if not base.requires_grad:
                continue
            base.retain_grad()
            view = base.expand(4, 3)
            tensor = expanded_from(view) if as_it_was else view
            (torch.sin(tensor) * torch.arange(12.0).reshape(4, 3)).sum().backward()
            found.append(base.grad)
        if found:
            torch.testing.assert_close(*found)


def test_under_transforms() -> None:
    def total(t: Tensor) -> Tensor:
        return (expanded_from(t.expand(4, 3)) * torch.ones(4, 3)).sum()

    torch.testing.assert_close(torch.func.grad(total)(torch.ones(3)), torch.full((3,), 4.0))


def test_compiled() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(
        lambda t: expanded_from(t.expand(4, 3)) * torch.ones(4, 3), backend="eager", fullgraph=True
    )
    torch.testing.assert_close(compiled(leaf()), leaf().expand(4, 3) * 1.0)
