"""Sums and means over datapoints of a linear layer's likelihood: gradients from the forward."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from compare import leaves
from linear_layers import (
    F64,
    HIDDEN,
    OUTPUTS,
    ROWS,
    Layer,
    each_function,
    wanted,
)
from torch import Tensor
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

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


@each_function
def test_each_output_is_computed_once(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a reduction, which makes gradients in the forward; otherwise twice."""
    made: list[int] = []
    original = torch.addmm

    def counted(*args: Tensor, out: Tensor) -> Tensor:
        made.append(out.numel())
        return original(*args, out=out)

    monkeypatch.setattr(torch, "addmm", counted)
    tensors = leaves(layer.make())
    for reduction, times in (("sum", 1), ("none", 2)):
        made.clear()
        layer(*tensors, reduction=reduction).sum().backward()
        assert sum(made) == times * ROWS * OUTPUTS
        assert len(made) > times  # in chunks


# --- classes: all outputs of some rows at a time --------------------------------------------------


def test_sequences_of_classes() -> None:
    """The mean is over datapoints, of which each has several targets; chunks cut through them."""
    hidden, weight = (torch.randn(s, dtype=F64, requires_grad=True) for s in ((3, 4, 5), (20, 5)))
    x = torch.randint(20, (3, 4))
    logits = functional.linear(hidden, weight)
    want = -functional.cross_entropy(logits.flatten(0, 1), x.flatten(), reduction="sum") / 3
    got = vk.linear_categorical_log_likelihood(hidden, weight, None, x, reduction="mean", chunk=10)
    torch.testing.assert_close(got, want)
    for a, b in zip(
        *(torch.autograd.grad(of, (hidden, weight)) for of in (got, want)), strict=True
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("none", [-1, OUTPUTS])
def test_a_class_that_is_none_makes_sum_and_gradients_nan(none: int) -> None:
    """Those of the datapoint, and sums over datapoints; others' stay what they are."""
    hidden, weight = torch.randn(3, HIDDEN, requires_grad=True), torch.randn(OUTPUTS, HIDDEN)
    weight.requires_grad_()
    x = torch.tensor([0, none, OUTPUTS - 1])
    value = vk.linear_categorical_log_likelihood(hidden, weight, None, x, reduction="sum")
    of_hidden, of_weight = torch.autograd.grad(value, (hidden, weight))
    assert value.isnan()
    assert of_hidden.isnan().all(1).tolist() == [False, True, False]
    assert not of_hidden[[0, 2]].isnan().any()
    assert of_weight.isnan().all()


def test_logits_without_limits() -> None:
    hidden = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    weight = torch.tensor([[1.0], [-1.0], [0.0]])
    x = torch.tensor([0, 2])
    value = vk.linear_categorical_log_likelihood(hidden, weight, None, x, reduction="sum")
    (of_hidden,) = torch.autograd.grad(value, hidden)
    assert value.item() == -1e4
    assert of_hidden.tolist() == [[0.0], [1.0]]


def test_half_precision_gradients_of_parameters_are_summed_in_float32() -> None:
    """One row after the other, all of one sign: bfloat16 sums would stop growing at 256."""
    n = 600
    hidden, x = torch.ones(n, 1, dtype=torch.bfloat16), torch.zeros(n, dtype=torch.long)
    weight, bias = (torch.zeros(s, dtype=torch.bfloat16, requires_grad=True) for s in ((n, 1), n))
    value = vk.linear_categorical_log_likelihood(hidden, weight, bias, x, reduction="sum", chunk=1)
    for gradient in torch.autograd.grad(value, (weight, bias)):
        assert gradient.flatten()[0].item() == n  # n times 1 - 1/n, rounded


def test_rows_of_a_chunk() -> None:
    """As many as make 64 MiB, but no fewer than make it worth their while; the outputs of all in
    any case."""
    from vaekern.last_layer.rows import cut_into_rows

    def rows_of(total: int, outputs: int, dtype: torch.dtype, width: int = 0) -> list[int]:
        shapes = ((total, 1), (outputs, 1), (outputs,))
        layer = [torch.empty(s, dtype=dtype, device="meta") for s in shapes]
        return [len(chunk.outputs) for chunk in cut_into_rows(layer, width)]

    assert rows_of(600, 50_000, torch.float32) == [256, 256, 88]
    assert rows_of(600, 50_000, torch.bfloat16) == [600]
    assert rows_of(200, 1_000_000, torch.float32) == [128, 72]
    assert rows_of(10, 100, torch.float32, width=40) == [4, 4, 2]
    assert rows_of(10, 100, torch.float32, width=1) == [1] * 10


def test_peak_memory_of_classes(tmp_path: Path) -> None:
    """Two rows of logits at a time, and what is returned."""
    rows, outputs, features = 64, 4096, 4
    hidden, weight = torch.randn(rows, features), torch.randn(outputs, features)
    for leaf in (hidden, weight):
        leaf.requires_grad_()
    x = torch.randint(outputs, (rows,))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        vk.linear_categorical_log_likelihood(
            hidden, weight, None, x, reduction="mean", chunk=128
        ).backward()
    recorded.export_chrome_trace(str(tmp_path / "trace.json"))
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    held = peak = 0
    for event in sorted((e for e in events if e["name"] == "[memory]"), key=lambda e: e["ts"]):
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    buffer, bias, gradient = 2 * outputs * 4, outputs * 4, weight.numel() * 4
    assert buffer + bias + gradient <= peak < 1.1 * (buffer + 2 * bias + gradient)
