"""A linear layer and a likelihood in one: the numbers and derivatives of the two."""

from __future__ import annotations

import functools

import pytest
import torch
from compare import leaves
from linear_layers import (
    F64,
    HIDDEN,
    LAYERS,
    OUTPUTS,
    ROWS,
    Layer,
    each_function,
    every_layer,
    of_floats,
    value_and_gradients,
    wanted,
)
from torch import Tensor
from torch.nn import functional

import vaekern as vk

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


@pytest.mark.parametrize("reduction", ["none", "mean"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@each_function
def test_dtypes(layer: Layer, dtype: torch.dtype, reduction: str) -> None:
    """Values are float32, gradients of their tensor's dtype: as close to float64 as the matrix
    products' dtype allows."""
    function = functools.partial(layer, reduction=reduction)
    tensors = leaves(layer.make(dtype))
    got = value_and_gradients(function, tensors)
    exact = leaves([t.detach().double() if t.is_floating_point() else t for t in tensors])
    want = value_and_gradients(function, exact)
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


@pytest.mark.parametrize("reduction", ["none", "mean"])
@each_function
def test_any_one_gradient_alone(layer: Layer, reduction: str) -> None:
    function = functools.partial(layer, reduction=reduction)
    tensors = leaves(layer.make())
    everything = value_and_gradients(function, tensors)[1:]
    for one, want in zip(wanted(tensors), everything, strict=True):
        own = [t.detach().requires_grad_() if t is one else t.detach() for t in tensors]
        (got,) = value_and_gradients(function, own)[1:]
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


@each_function
def test_upstream_gradients_may_be_mapped_over(layer: Layer) -> None:
    tensors = leaves(layer.make())
    value = layer(*tensors)

    def gradient(upstream: Tensor) -> Tensor:
        return torch.autograd.grad(value, tensors[0], upstream, retain_graph=True)[0]

    upstream = torch.randn(2, ROWS, dtype=F64)
    want = torch.stack([gradient(g) for g in upstream])
    torch.testing.assert_close(torch.func.vmap(gradient)(upstream), want)
