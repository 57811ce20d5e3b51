"""A linear layer and a likelihood in one: the numbers and derivatives of the two, less memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import backends
import pytest
import torch
from compare import leaves
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

import vaekern as vk

F64 = torch.float64
ROWS, HIDDEN, OUTPUTS, CHUNK = 5, 6, 23, 8  # chunks of 8, 8 and 7 outputs


@dataclass(frozen=True)
class Layer:
    """A function with the tensors it takes beside hidden, weight and bias, and what it is equal to:
    a function of the outputs and those tensors."""

    label: str
    function: Callable[..., Tensor]
    composed: Callable[..., Tensor]
    draw: Callable[[torch.Generator], Sequence[Tensor]]

    def make(self, dtype: torch.dtype = F64, rows: tuple[int, ...] = (ROWS,)) -> list[Tensor]:
        generator = torch.Generator().manual_seed(3)
        shapes = ((*rows, HIDDEN), (OUTPUTS, HIDDEN), (OUTPUTS,))
        drawn = [torch.randn(s, generator=generator, dtype=F64) for s in shapes]
        others = [t.expand(*rows, *t.shape[1:]) if t.shape[:1] == (1,) else t
                  for t in self.draw(generator)]  # fmt: skip
        return [t.to(dtype) if t.is_floating_point() else t for t in (*drawn, *others)]

    def __call__(self, *tensors: Tensor, **options: Any) -> Tensor:
        return self.function(*tensors, **{"chunk": CHUNK, **options})

    def two_steps(self, *tensors: Tensor) -> Tensor:
        hidden, weight, bias, *others = tensors
        return self.composed(functional.linear(hidden, weight, bias), *others)


def _log_softmax_at(logits: Tensor, x: Tensor) -> Tensor:
    return -functional.cross_entropy(logits.double(), x, reduction="none")


def _targets(generator: torch.Generator) -> Tensor:
    return torch.rand(ROWS, OUTPUTS, generator=generator, dtype=F64)


def _with_logvar(*shape: int) -> Callable[[torch.Generator], Sequence[Tensor]]:
    return lambda g: (_targets(g), torch.randn(shape, generator=g, dtype=F64))


LAYERS = (
    Layer("bernoulli", vk.linear_bernoulli_log_likelihood, vk.bernoulli_log_likelihood,
          lambda g: [_targets(g)]),
    Layer("bernoulli-uint8", vk.linear_bernoulli_log_likelihood, vk.bernoulli_log_likelihood,
          lambda g: [torch.randint(256, (ROWS, OUTPUTS), generator=g, dtype=torch.uint8)]),
    *[
        Layer(f"gaussian-{'x'.join(map(str, shape)) or 'scalar'}",
              vk.linear_gaussian_log_likelihood, vk.gaussian_log_likelihood, _with_logvar(*shape))
        for shape in ((), (OUTPUTS,), (ROWS, 1), (ROWS, OUTPUTS))
    ],
    Layer("categorical", vk.linear_categorical_log_likelihood, _log_softmax_at,
          lambda g: [torch.randint(OUTPUTS, (ROWS,), generator=g)]),
)  # fmt: skip
EACH_FUNCTION = tuple(layer for layer in LAYERS if layer.label in
                      ("bernoulli", "gaussian-scalar", "categorical"))  # fmt: skip


def label_of(layer: Layer) -> str:
    return layer.label


every_layer = pytest.mark.parametrize("layer", LAYERS, ids=label_of)
each_function = pytest.mark.parametrize("layer", EACH_FUNCTION, ids=label_of)


def of_floats(layer: Layer, tensors: Sequence[Tensor]) -> tuple[Callable[..., Tensor], list[Any]]:
    """The layer as a function of its floating-point tensors, and those."""
    at = [k for k, t in enumerate(tensors) if t.is_floating_point()]

    def function(*values: Tensor) -> Tensor:
        own = list(tensors)
        for k, value in zip(at, values, strict=True):
            own[k] = value
        return layer(*own)

    return function, [tensors[k] for k in at]


def wanted(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [t for t in tensors if t.requires_grad]


UPSTREAM = torch.linspace(-1.0, 2.0, ROWS, dtype=F64)


def value_and_gradients(
    function: Callable[..., Tensor], tensors: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    value = function(*tensors)
    upstream = backends.put(UPSTREAM).to(value.dtype)
    return value, *torch.autograd.grad(value, wanted(tensors), upstream)


# --- numbers --------------------------------------------------------------------------------------


@every_layer
def test_equal_to_the_two_steps(layer: Layer, backend: str) -> None:
    """In float64, where the order of sums does not show; an upstream gradient per datapoint."""
    tensors = leaves(layer.make())
    want = value_and_gradients(layer.two_steps, tensors)
    with vk.backend(backend):
        got = value_and_gradients(layer, tensors)
    with vk.backend("reference"):
        plain = value_and_gradients(layer, tensors)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(plain, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@each_function
def test_dtypes(layer: Layer, dtype: torch.dtype) -> None:
    """Values are float32, gradients of their tensor's dtype: as close to float64 as the matrix
    products' dtype allows."""
    tensors = leaves(layer.make(dtype))
    got = value_and_gradients(layer, tensors)
    exact = leaves([t.detach().double() if t.is_floating_point() else t for t in tensors])
    want = value_and_gradients(layer, exact)
    assert [t.dtype for t in got] == [torch.float32, *[t.dtype for t in wanted(tensors)]]
    rtol = 16 * torch.finfo(dtype).eps
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0.0, atol=rtol * b.abs().max().item())


def test_the_gradient_of_half_precision_hidden_is_summed_in_float32() -> None:
    """One output after the other, all of one sign: a bfloat16 sum would stop growing at 256."""
    n = 1000
    hidden = torch.zeros(1, 1, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.full((n, 1), 2.0, dtype=torch.bfloat16)
    x = torch.ones(1, n, dtype=torch.bool)
    vk.linear_bernoulli_log_likelihood(hidden, weight, None, x, chunk=1).sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.item() == n  # n times 2 (1 - 1/2)


@each_function
def test_chunks_change_rounding_alone(layer: Layer) -> None:
    tensors = leaves(layer.make())
    whole = value_and_gradients(lambda *t: layer(*t, chunk=None), tensors)
    for chunk in (1, 7, OUTPUTS, 2 * OUTPUTS):
        got = value_and_gradients(lambda *t, c=chunk: layer(*t, chunk=c), tensors)
        torch.testing.assert_close(got, whole, rtol=1e-12, atol=1e-12)


def test_without_bias() -> None:
    hidden, weight, _, x = leaves(LAYERS[0].make())
    with_zeros = vk.linear_bernoulli_log_likelihood(
        hidden, weight, torch.zeros(OUTPUTS).double(), x
    )
    assert torch.equal(vk.linear_bernoulli_log_likelihood(hidden, weight, None, x), with_zeros)


@pytest.mark.parametrize("uint8_range", ["unit", "signed"])
def test_uint8_ranges(uint8_range: str) -> None:
    hidden, weight, _, x = LAYERS[1].make()
    torch.testing.assert_close(
        vk.linear_gaussian_log_likelihood(hidden, weight, None, x, uint8_range=uint8_range),
        vk.gaussian_log_likelihood(functional.linear(hidden, weight), x, uint8_range=uint8_range),
    )


@pytest.mark.parametrize(("rows", "batch_dims"), [((), 0), ((2, 3), 1), ((2, 3), 2), ((0,), 1)])
def test_datapoints_of_any_shape(rows: tuple[int, ...], batch_dims: int) -> None:
    hidden, x = torch.randn(*rows, HIDDEN), torch.rand(*rows, OUTPUTS)
    weight, logvar = torch.randn(OUTPUTS, HIDDEN), torch.randn(*rows, 1)
    means = functional.linear(hidden, weight)
    torch.testing.assert_close(
        vk.linear_gaussian_log_likelihood(hidden, weight, None, x, logvar, batch_dims=batch_dims),
        vk.gaussian_log_likelihood(means, x, logvar, batch_dims=batch_dims),
    )
    classes = torch.randint(OUTPUTS, rows)
    value = vk.linear_categorical_log_likelihood(hidden, weight, None, classes,
                                                 batch_dims=batch_dims)  # fmt: skip
    each = means.log_softmax(-1).gather(-1, classes.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(value, each.flatten(batch_dims).sum(-1) if batch_dims < len(rows)
                               else each)  # fmt: skip


def test_a_class_that_is_none_makes_the_value_nan() -> None:
    hidden, weight = torch.randn(4, HIDDEN), torch.randn(OUTPUTS, HIDDEN)
    x = torch.tensor([0, -1, OUTPUTS, OUTPUTS - 1])
    for function in (vk, vk.reference):
        value = function.linear_categorical_log_likelihood(hidden, weight, None, x)
        assert value.isnan().tolist() == [False, True, True, False]


def test_logits_without_limits() -> None:
    """Neither the sum of exponentials nor a term overflows."""
    hidden, weight = torch.tensor([[1e4], [-1e4]]), torch.tensor([[1.0], [-1.0], [0.0]])
    value = vk.linear_categorical_log_likelihood(
        hidden, weight, None, torch.tensor([0, 2]), chunk=1
    )
    assert value.tolist() == [0.0, -1e4]


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


# --- derivatives ----------------------------------------------------------------------------------


@each_function
def test_derivatives(layer: Layer) -> None:
    function, values = of_floats(layer, layer.make())
    inputs = leaves(values)
    assert torch.autograd.gradcheck(function, inputs, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


@each_function
def test_a_backward_may_run_twice(layer: Layer) -> None:
    tensors = leaves(layer.make())
    loss = layer(*tensors).cos().sum()
    first = torch.autograd.grad(loss, wanted(tensors), retain_graph=True)
    kept = [g.clone() for g in first]
    second = torch.autograd.grad(loss, wanted(tensors))
    for a, b, c in zip(first, kept, second, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(b, c)


@each_function
def test_any_one_gradient_alone(layer: Layer) -> None:
    tensors = leaves(layer.make())
    everything = value_and_gradients(layer, tensors)[1:]
    for one, want in zip(wanted(tensors), everything, strict=True):
        own = [t.detach().requires_grad_() if t is one else t.detach() for t in tensors]
        (got,) = value_and_gradients(layer, own)[1:]
        assert torch.equal(got, want)


@each_function
def test_torch_func(layer: Layer) -> None:
    tensors = layer.make()
    function, values = of_floats(layer, tensors)
    every = tuple(range(len(values)))

    def loss(*arguments: Tensor) -> Tensor:
        return function(*arguments).cos().sum()

    want = torch.autograd.grad(loss(*(own := leaves(values))), own)
    torch.testing.assert_close(torch.func.grad(loss, every)(*values), want)
    jacobians = torch.func.jacrev(loss, every)(*values)
    torch.testing.assert_close(jacobians, want)
    stacked = torch.stack([values[0], -values[0]])
    mapped = torch.func.vmap(lambda hidden: function(hidden, *values[1:]))(stacked)
    torch.testing.assert_close(mapped[1], function(-values[0], *values[1:]))


# --- the rest of torch ----------------------------------------------------------------------------


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
    from vaekern._linear_op import LinearOp

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
    tensors, attributes = op.split(args)
    inputs = leaves(tensors)
    torch.library.opcheck(op.op, (*inputs, *attributes))
    value, *state = op.execute(*args)
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


# --- errors ---------------------------------------------------------------------------------------


def t(*shape: int, dtype: torch.dtype = torch.float32, device: str = "meta") -> Tensor:
    return torch.empty(shape, dtype=dtype, device=device)


I64 = torch.int64
WRONG: tuple[tuple[dict[str, Any], type[Exception], str, str, str], ...] = (
    ({"hidden": t(4, 3, dtype=I64)}, TypeError, "hidden", "int64", "float32"),
    ({"hidden": t()}, ValueError, "hidden", "()", "one dimension"),
    ({"weight": t(7, 2)}, ValueError, "weight", "(7, 2)", "[N, 3]"),
    ({"weight": t(7, 3, dtype=torch.bfloat16)}, TypeError, "weight", "bfloat16", "float32"),
    ({"weight": t(7, 3, device="cpu")}, ValueError, "weight", "cpu", "meta"),
    ({"bias": t(1)}, ValueError, "bias", "(1,)", "(7,)"),
    ({"bias": t(7, dtype=torch.float64)}, TypeError, "bias", "float64", "float32"),
    ({"bias": t(7, device="cpu")}, ValueError, "bias", "cpu", "meta"),
    ({"batch_dims": 2}, ValueError, "batch_dims", "2", "1"),
    ({"reduction": "avg"}, ValueError, "reduction", "'avg'", "'mean'"),
    ({"chunk": 0}, ValueError, "chunk", "0", "1 or more"),
    ({"chunk": 2.5}, ValueError, "chunk", "2.5", "1 or more"),
)
WRONG_TARGETS = (
    ({"x": t(4, 3)}, ValueError, "x", "(4, 3)", "(4, 7)"),
    ({"x": t(4, 7, dtype=I64)}, TypeError, "x", "int64", "uint8"),
    ({"x": t(4, 7, device="cpu")}, ValueError, "x", "cpu", "meta"),
)
WRONG_BY_FUNCTION = {
    "linear_bernoulli_log_likelihood": (*WRONG, *WRONG_TARGETS),
    "linear_gaussian_log_likelihood": (
        *WRONG,
        *WRONG_TARGETS,
        ({"logvar": t(4)}, ValueError, "logvar", "(4,)", "(4, 7)"),
        ({"uint8_range": "bytes"}, ValueError, "uint8_range", "'bytes'", "'unit'"),
        ({"scale": "variance"}, ValueError, "scale", "'variance'", "log_std"),
        ({"logvar_clamp": (1.0, 0.0)}, ValueError, "logvar_clamp", "(1.0, 0.0)", "low <= high"),
    ),
    "linear_categorical_log_likelihood": (
        *WRONG,
        ({"x": t(4, 7, dtype=I64)}, ValueError, "x", "(4, 7)", "(4,)"),
        ({"x": t(4)}, TypeError, "x", "float32", "int64"),
        ({"x": t(4, dtype=I64, device="cpu")}, ValueError, "x", "cpu", "meta"),
    ),
}


@pytest.mark.parametrize("function", WRONG_BY_FUNCTION)
def test_errors(function: str) -> None:
    x = t(4, dtype=I64) if "categorical" in function else t(4, 7)
    right = {"hidden": t(4, 3), "weight": t(7, 3), "bias": t(7), "x": x}
    assert getattr(vk, function)(**right).shape == (4,)
    for instead, error, name, got, expected in WRONG_BY_FUNCTION[function]:
        with pytest.raises(error, match=rf"^{name}\b") as caught:
            getattr(vk, function)(**{**right, **instead})
        assert re.search(re.escape(got), str(caught.value)), caught.value
        assert re.search(re.escape(expected), str(caught.value)), caught.value
