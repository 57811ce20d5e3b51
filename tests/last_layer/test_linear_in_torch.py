"""A linear layer and a likelihood in one: compiled, cast, without data, and in less memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from compare import leaves
from linear_layers import F64, ROWS, Layer, each_function, of_floats, value_and_gradients, wanted
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode


@each_function
def test_compiled_for_any_size_is_eager(layer: Layer) -> None:
    """One graph, in which the layer is one operation; and no graph of another size."""
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True, dynamic=True)
    for dtype in (torch.float32, F64):
        tensors = leaves(layer.make(dtype))
        torch.testing.assert_close(
            value_and_gradients(compiled, tensors), value_and_gradients(layer, tensors)
        )


@each_function
def test_compiled_torch_func_is_right_or_raises(layer: Layer) -> None:
    torch._dynamo.reset()
    function, values = of_floats(layer, layer.make())
    gradient = torch.func.grad(lambda *v: function(*v).cos().sum())
    want = gradient(*values)
    try:
        got = torch.compile(gradient, backend="aot_eager")(*values)
    except (RuntimeError, torch._dynamo.exc.TorchDynamoException):
        return  # refused
    torch.testing.assert_close(got, want)


@each_function
def test_opcheck(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    from vaekern.last_layer.op import LinearOp

    calls: list[tuple[LinearOp, tuple[Any, ...]]] = []
    original = LinearOp.differentiable
    monkeypatch.setattr(
        LinearOp,
        "differentiable",
        lambda self, *args: (calls.append((self, args)), original(self, *args))[1],
    )
    layer(*layer.make())
    monkeypatch.undo()
    ((op, args),) = calls
    tensors, _, attributes = op.split(args)
    inputs = leaves(tensors)
    torch.library.opcheck(op.op, (*inputs, *attributes))
    found = op.execute(*args)
    value, *state = found if op.kept else [found]
    wants = [t.is_floating_point() for t in tensors]
    torch.library.opcheck(op.vjp_op, (torch.ones_like(value), *tensors, *state, wants, *attributes))


@each_function
def test_autocast_is_that_of_a_linear_layer(layer: Layer) -> None:
    """Its arguments are cast, the likelihood stays float32; gradients are the parameters'."""
    hidden, weight, bias, *others = leaves(layer.make(torch.float32))
    with torch.autocast("cpu", torch.bfloat16):
        value = layer(hidden.bfloat16(), weight, bias, *others)
    want = layer(hidden.bfloat16(), weight.bfloat16(), bias.bfloat16(), *others)
    assert value.dtype is torch.float32
    assert torch.equal(value, want)
    value.sum().backward()
    for tensor in (hidden, weight, bias):
        assert tensor.grad is not None
        assert tensor.grad.dtype is torch.float32


@each_function
def test_shapes_without_data(layer: Layer) -> None:
    tensors = layer.make(torch.bfloat16)
    real = value_and_gradients(layer, leaves(tensors))
    inputs = [t.to("meta").requires_grad_(t.is_floating_point()) for t in tensors]
    value = layer(*inputs)
    found = (value, *torch.autograd.grad(value, wanted(inputs), torch.empty_like(value)))
    assert [(t.shape, t.dtype) for t in found] == [(t.shape, t.dtype) for t in real]


# --- memory ---------------------------------------------------------------------------------------


@each_function
def test_nothing_of_the_outputs_is_saved(layer: Layer) -> None:
    """The arguments are, and one number per datapoint at most."""
    tensors = leaves(layer.make())
    arguments = {t.untyped_storage().data_ptr() for t in tensors}
    saved: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in arguments:
            saved.append(tensor)
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(*tensors)
    assert sum(t.numel() for t in saved) <= ROWS


class _Largest(TorchDispatchMode):
    """The largest tensor that an operation of torch returns, views of ``known`` ones excepted."""

    def __init__(self, known: Sequence[Tensor]) -> None:
        super().__init__()
        self.known = {t.untyped_storage().data_ptr() for t in known}
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        new = isinstance(result, Tensor) and result.untyped_storage().data_ptr() not in self.known
        if new:
            self.numel = max(self.numel, result.numel())
        return result


@each_function
def test_no_tensor_is_as_large_as_the_outputs(layer: Layer) -> None:
    rows, outputs = 64, 4096
    generator = torch.Generator().manual_seed(0)
    hidden, weight, bias = (torch.randn(s, generator=generator, requires_grad=True)
                            for s in ((rows, 4), (outputs, 4), (outputs,)))  # fmt: skip
    others = [torch.zeros(rows, dtype=torch.long)]
    if layer.label != "categorical":
        others = [torch.rand(rows, outputs, generator=generator), torch.zeros(())]
    with _Largest(others) as largest:
        value = layer(hidden, weight, bias, *others[: len(layer.make()) - 3], chunk=128)
        value.sum().backward()
    assert largest.numel <= max(weight.numel(), 128 * rows)
