"""The functions of a linear layer and a likelihood, with arguments and what they are equal to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import backends
import pytest
import torch
from torch import Tensor
from torch.nn import functional

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
    upstream = backends.put(UPSTREAM).to(value.dtype) if value.dim() else None
    return value, *torch.autograd.grad(value, wanted(tensors), upstream)
