"""Sums and means over datapoints of a linear layer's likelihood: gradients from the forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from compare import leaves
from linear_layers import LAYERS, Layer, each_function, wanted
from torch import Tensor

import vaekern as vk


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@each_function
def test_reductions(layer: Layer, reduction: str, backend: str) -> None:
    """Of the values; gradients from the forward, for any upstream gradient, any number of times,
    and differentiable ones."""
    tensors = leaves(layer.make())
    want = getattr(layer(*tensors), reduction)()
    with vk.backend(backend):
        got = layer(*tensors, reduction=reduction)
    torch.testing.assert_close(got, want)
    first, *others = (
        [
            *torch.autograd.grad(3.0 * value, wanted(tensors), retain_graph=True),
            *torch.autograd.grad(value.square(), wanted(tensors), retain_graph=True),
            *torch.autograd.grad(value, wanted(tensors), create_graph=True),
        ]
        for value in (want, got, layer(*tensors, reduction=reduction))
    )
    for other in others:
        torch.testing.assert_close(other, first)
    hidden = tensors[0]
    second = [torch.autograd.grad(of[-1].sum(), hidden)[0] for of in (first, others[0])]
    torch.testing.assert_close(second[1], second[0])


def test_a_sum_computes_each_output_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the gradients in the forward."""
    from vaekern import _linear_op

    made: list[int] = []
    original = _linear_op.cut_into_chunks

    def counted(tensors: Sequence[Tensor], width: int) -> Any:
        for chunk in original(tensors, width):
            made.append(chunk.start)
            yield chunk

    monkeypatch.setattr(_linear_op, "cut_into_chunks", counted)
    tensors = leaves(LAYERS[0].make())
    for reduction, times in (("sum", 1), ("none", 2)):
        made.clear()
        LAYERS[0](*tensors, reduction=reduction).sum().backward()
        assert made == [0, 8, 16] * times
