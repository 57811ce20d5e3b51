"""Masks of the likelihoods of a last layer: as of the two steps, whatever lies outside."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

import vaekern as vk

ROWS, FEATURES, OUTPUTS = (2, 5), 4, 130


def layer(dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((*ROWS, FEATURES), (OUTPUTS, FEATURES), (OUTPUTS,))
    return [
        torch.randn(shape, generator=generator, dtype=dtype, requires_grad=True) for shape in shapes
    ]


def both(kind: str, dtype: torch.dtype, shared: bool) -> tuple[Any, list[Tensor]]:
    """How to call the two, and the tensors that want a gradient."""
    generator = torch.Generator().manual_seed(1)
    tensors = layer(dtype)
    hidden, weight, bias = tensors
    if kind == "categorical":
        mask = torch.rand(1 if shared else ROWS[0], ROWS[1], generator=generator) > 0.4
        x = torch.randint(0, OUTPUTS, ROWS, generator=generator).where(mask, torch.tensor(-100))
        linear_function, function = (
            vk.linear_categorical_log_likelihood, vk.categorical_log_likelihood
        )  # fmt: skip
        more: tuple[Tensor, ...] = ()
    else:
        size = 1 if shared else OUTPUTS
        mask = torch.rand(*ROWS, size, generator=generator) > 0.4
        x = torch.rand(*ROWS, OUTPUTS, generator=generator).where(mask, torch.tensor(torch.nan))
        linear_function = getattr(vk, f"linear_{kind}_log_likelihood")
        function = getattr(vk, f"{kind}_log_likelihood")
        more = ()
        if kind == "gaussian":
            wide = torch.promote_types(dtype, torch.float32)
            more = (torch.zeros(ROWS[1], OUTPUTS, dtype=wide, requires_grad=True),)

    def call(which: str, **options: Any) -> Tensor:
        if which == "linear":
            return linear_function(hidden, weight, bias, x, *more, mask=mask, **options)
        return function(linear(hidden, weight, bias), x, *more, mask=mask)

    return call, [*tensors, *more]


@pytest.mark.table
@pytest.mark.parametrize("shared", [False, True], ids=["each", "shared"])
@pytest.mark.parametrize("chunk", [None, 50, 1000])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("kind", ["bernoulli", "gaussian", "categorical"])
def test_masked_is_that_of_the_two_steps(
    kind: str, reduction: str, chunk: int | None, shared: bool, backend: str
) -> None:
    call, wanted = both(kind, torch.float64, shared)
    with vk.backend(backend):
        found = call("linear", reduction=reduction, chunk=chunk)
        gradients = torch.autograd.grad(found.sum(), wanted)
    want = call("two steps")
    want = want if reduction == "none" else getattr(want, reduction)()
    torch.testing.assert_close(found, want)
    for a, b in zip(gradients, torch.autograd.grad(want.sum(), wanted), strict=True):
        assert a.isfinite().all()
        torch.testing.assert_close(a, b)


@pytest.mark.table
@pytest.mark.parametrize("number", [torch.nan, torch.inf])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("kind", ["bernoulli", "gaussian", "categorical"])
def test_whatever_is_hidden_in_padding(
    kind: str, reduction: str, number: float, implementation: str
) -> None:
    """A row of hidden [B, T, H] that a mask [B, T] leaves out reaches no gradient."""
    padding = torch.tensor([[False] * 5, [False, False, True, True, True]])
    targets = torch.rand(*ROWS, OUTPUTS).masked_fill(padding[..., None], number)
    mask = ~padding[..., None]
    if kind == "categorical":
        targets, mask = torch.ones(ROWS, dtype=torch.int64).masked_fill(padding, -100), ~padding
    found = []
    for hidden_there in (0.0, number):
        hidden, weight, bias = layer(torch.float32)
        hidden = hidden.detach().masked_fill(padding[..., None], hidden_there).requires_grad_()
        value = getattr(vk, f"linear_{kind}_log_likelihood")(
            hidden, weight, bias, targets, mask=mask, reduction=reduction
        )
        gradients = torch.autograd.grad(value.sum(), [hidden, weight, bias])
        assert (gradients[0][padding] == 0.0).all()
        found.append([value, *gradients])
    assert all(map(torch.equal, *found))


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian", "categorical"])
def test_half_precision(kind: str) -> None:
    call, wanted = both(kind, torch.bfloat16, False)
    found, want = call("linear", chunk=50), call("two steps")
    assert found.dtype is torch.float32
    torch.testing.assert_close(found, want, rtol=0.02, atol=0.5)
    for a, b in zip(
        torch.autograd.grad(found.sum(), wanted),
        torch.autograd.grad(want.sum(), wanted),
        strict=True,
    ):
        assert a.dtype is b.dtype
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.3)


@pytest.mark.parametrize("kind", ["bernoulli", "categorical"])
def test_nothing_of_the_outputs_is_stored(kind: str) -> None:
    """Chunk by chunk: what is kept for the backward is smaller than the outputs."""
    call, _ = both(kind, torch.float64, False)
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel() if tensor.is_floating_point() else 0)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        call("linear", chunk=64)
    assert max(kept) <= ROWS[0] * ROWS[1] * OUTPUTS


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian", "categorical"])
def test_in_torch(kind: str) -> None:
    call, wanted = both(kind, torch.float64, False)
    compiled = torch.compile(lambda: call("linear", chunk=50), backend="aot_eager")
    torch.testing.assert_close(compiled(), call("linear"))
    hidden, weight, bias = (t.detach() for t in wanted[:3])
    mask = torch.rand(ROWS) > 0.5
    if kind == "categorical":
        x = torch.zeros(ROWS, dtype=torch.int64)
        found = torch.func.grad(
            lambda h: vk.linear_categorical_log_likelihood(h, weight, bias, x, mask=mask).sum()
        )(hidden)
        assert (found[~mask] == 0).all()
        assert (found[mask] != 0).any()


def test_masks_that_do_not_fit() -> None:
    hidden, x = torch.zeros(3, FEATURES), torch.zeros(3, OUTPUTS)
    weight = nn.Linear(FEATURES, OUTPUTS).weight
    for mask, error in ((torch.ones(3, 2) > 0, ValueError), (torch.ones(3, OUTPUTS), TypeError)):
        with pytest.raises(error, match=r"^mask: expected"):
            vk.linear_bernoulli_log_likelihood(hidden, weight, None, x, mask=mask)
