"""Layers with few outputs: the layer, then the likelihood."""

from __future__ import annotations

import pytest
import torch
from compare import leaves
from linear_layers import HIDDEN, LAYERS, OUTPUTS, ROWS, Layer, every_layer, wanted
from torch.nn import functional

import vaekern as vk
from vaekern._backends import fast
from vaekern.last_layer import functions

needs_the_fast_path = pytest.mark.skipif(not fast.usable, reason="there is no fast path")


def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("outputs are cut into chunks")


@needs_the_fast_path
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@every_layer
def test_small_layers(layer: Layer, reduction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = leaves(layer.make(torch.float32))
    want = layer(*tensors, reduction=reduction)
    if not (layer.label == f"gaussian-{OUTPUTS}" and reduction != "none"):
        monkeypatch.setattr(functions, "_run", _refuse)
    got = layer(*tensors, reduction=reduction, chunk=None)
    torch.testing.assert_close(got, want)
    upstream = torch.rand_like(want)
    torch.testing.assert_close(
        torch.autograd.grad(got, wanted(tensors), upstream),
        torch.autograd.grad(want, wanted(tensors), upstream),
    )


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_a_variance_of_each_output_is_none_of_each_row(reduction: str) -> None:
    hidden, weight, x = torch.randn(4, 3), torch.randn(4, 3), torch.randn(4, 4)
    logvar = torch.arange(4.0)
    got = vk.linear_gaussian_log_likelihood(hidden, weight, None, x, logvar, reduction=reduction)
    rows = vk.gaussian_log_likelihood(functional.linear(hidden, weight), x, logvar)
    want = rows if reduction == "none" else getattr(rows, reduction)()
    torch.testing.assert_close(got, want)


@needs_the_fast_path
def test_many_outputs_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    (layer,) = [each for each in LAYERS if each.label == "bernoulli"]
    monkeypatch.setattr(functions, "_run", _refuse)
    hidden, weight = torch.randn(128, HIDDEN), torch.randn(129, HIDDEN)
    with pytest.raises(AssertionError, match="chunks"):
        layer.function(hidden, weight, None, torch.rand(128, 129))


@pytest.mark.parametrize("reduction", ["none", "sum"])
def test_a_number_that_is_no_class_gives_nan(reduction: str) -> None:
    hidden, weight = torch.randn(ROWS, HIDDEN), torch.randn(OUTPUTS, HIDDEN)
    x = torch.tensor([0, 1, OUTPUTS, -1, 2])
    value = vk.linear_categorical_log_likelihood(hidden, weight, None, x, reduction=reduction)
    assert value.isnan().tolist() == ([False, False, True, True, False]
                                      if reduction == "none" else True)  # fmt: skip


def test_autocast() -> None:
    hidden, weight, x = torch.randn(2, 3), torch.randn(4, 3), torch.rand(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        got = vk.linear_bernoulli_log_likelihood(hidden, weight, None, x)
        want = vk.linear_bernoulli_log_likelihood(hidden, weight, None, x, chunk=4)
    torch.testing.assert_close(got, want)
