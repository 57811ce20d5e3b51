"""What is computed from some outputs of a linear layer at a time.

A head is a likelihood whose value is gathered from chunk to chunk. ``inputs`` are its tensors
beside the outputs; one whose last dimension is as long as the outputs' is handed over in the same
chunks, any other as a whole. ``state`` names what the backward needs of the forward beside its
inputs, and ``attributes`` is the part of the op's schema for what is not a tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import below_top
from vaekern._ops.elementwise import Op
from vaekern._ops.rows import CategoricalOp, high_and_low
from vaekern.last_layer.chunks import Chunk, Gradients, cut_into_chunks
from vaekern.last_layer.rows import LayerGradients, cut_into_rows

Tensors: TypeAlias = Sequence[Tensor]
Wanted: TypeAlias = Sequence[bool]
#: The head's, then the backend.
Attributes: TypeAlias = Sequence[Any]


class Head(Protocol):
    name: str
    inputs: tuple[str, ...]
    state: tuple[str, ...]
    attributes: str

    def value(self, chunks: Iterable[Chunk], rows: Tensor, attributes: Attributes) -> list[Tensor]:
        """The value of each row, then the state. ``rows`` is a float64 tensor of zeros."""

    def vjp(
        self, g: Tensor, chunk: Chunk, state: Tensors, wanted: Wanted, attributes: Attributes
    ) -> list[Tensor]:
        """The gradient of the outputs, then those of the tensors that are ``wanted``."""

    def value_and_gradients(
        self, g: Tensor, tensors: Tensors, wanted: Wanted, width: int, attributes: Attributes
    ) -> tuple[Tensor, list[Tensor]]:
        """The value of each row, in float64, and the wanted gradients of the layer's tensors and
        the head's, for an upstream gradient that is known already: each output is computed once.
        ``width`` is that of chunks (0: chosen here)."""

    def plain(self, outputs: Tensor, *arguments: Any) -> Tensor:
        """The value from all outputs, in torch operations; no backend is among the arguments."""

    def composed(self, outputs: Tensor, *arguments: Any) -> Tensor:
        """The value from all outputs, differentiable in every way torch knows."""


class Elementwise:
    """A row of the table of operations, whose terms are one per output."""

    state: tuple[str, ...] = ()

    def __init__(self, op: Op) -> None:
        self.op = op
        self.name = op.name
        self.inputs: tuple[str, ...] = op.inputs[1:]
        self.attributes = "str scale, " if op.scaled else ""
        self.attributes += "str uint8_range, " if op.uint8_range is None else ""

    def value(self, chunks: Iterable[Chunk], rows: Tensor, attributes: Attributes) -> list[Tensor]:
        for chunk in chunks:
            rows += self.op.execute(chunk.outputs, *self._arguments((*chunk.tensors, *attributes)))
        return [rows]

    def vjp(
        self, g: Tensor, chunk: Chunk, state: Tensors, wanted: Wanted, attributes: Attributes
    ) -> list[Tensor]:
        no_mask = self.op.mask_slot(None)
        return self.op.execute_vjp(
            g, chunk.outputs, *chunk.tensors, *no_mask, [True, *wanted], 1, *attributes
        )

    def value_and_gradients(
        self, g: Tensor, tensors: Tensors, wanted: Wanted, width: int, attributes: Attributes
    ) -> tuple[Tensor, list[Tensor]]:
        gradients = Gradients(tensors, wanted)

        def chunks() -> Iterator[Chunk]:
            for chunk in cut_into_chunks(tensors, width):
                yield chunk  # for its value, and then for its gradients
                gradients.add(chunk, self.vjp(g, chunk, (), wanted[3:], attributes))

        (value,) = self.value(chunks(), g.new_zeros(g.shape, dtype=torch.float64), attributes)
        return value, gradients.results()

    def plain(self, outputs: Tensor, *arguments: Any) -> Tensor:
        n = len(self.inputs)
        value: Tensor = self.op.plain(outputs, *arguments[:n], 1, *arguments[n:])
        return value

    def composed(self, outputs: Tensor, *arguments: Any) -> Tensor:
        value: Tensor = self.op.differentiable(outputs, *self._arguments(arguments))
        return value

    def _arguments(self, arguments: Sequence[Any]) -> tuple[Any, ...]:
        """Those of the operation: tensors, no mask, one batch dimension, the other attributes."""
        n = len(self.inputs)
        return (*arguments[:n], *self.op.mask_slot(None), 1, *arguments[n:])


class Categorical:
    """log softmax of the outputs at the target. The targets are [rows, 1].

    From chunks of columns it is streamed, by the logarithm of the sum of the exponentials so far,
    in torch operations on every backend. With the gradients it is made by the operation's kernels
    from chunks of rows: no gradient is known before a row's last output."""

    inputs: tuple[str, ...] = ("x",)
    state: tuple[str, ...] = ("log_normaliser",)
    attributes = ""

    def __init__(self, op: CategoricalOp) -> None:
        self.op = op
        self.name = op.name

    def value(self, chunks: Iterable[Chunk], rows: Tensor, attributes: Attributes) -> list[Tensor]:
        log_sum = torch.full_like(rows, -torch.inf)
        at_target = torch.full_like(rows, torch.nan)  # stays so where the target is no class
        for chunk in chunks:
            wide = chunk.outputs.to(accumulation_dtype((chunk.outputs,)))
            below, top = below_top(wide, 1)
            here = below.logsumexp(1, keepdim=True).to(log_sum.dtype) + top
            torch.logaddexp(log_sum, here[:, 0], out=log_sum)
            column, is_here = _column(chunk.tensors[0], wide, chunk.start)
            found = wide.gather(1, column).to(rows.dtype)
            at_target = torch.where(is_here[:, 0], found[:, 0], at_target)
        return [at_target - log_sum, log_sum]

    def vjp(
        self, g: Tensor, chunk: Chunk, state: Tensors, wanted: Wanted, attributes: Attributes
    ) -> list[Tensor]:
        column, is_here = _column(chunk.tensors[0], chunk.outputs, chunk.start)
        high, low = high_and_low(state[0][:, None], chunk.outputs)
        p = torch.sub(chunk.outputs, high).sub_(low).exp_().mul_(-g[:, None])
        # One number per row: a gather and a scatter need no atomics, as scatter_add does.
        p.scatter_(1, column, p.gather(1, column) + torch.where(is_here, g[:, None], 0.0))
        return [p.to(chunk.outputs.dtype)]

    def value_and_gradients(
        self, g: Tensor, tensors: Tensors, wanted: Wanted, width: int, attributes: Attributes
    ) -> tuple[Tensor, list[Tensor]]:
        """Gradients of a row whose target is no class are NaN, as its value is."""
        gradients = LayerGradients(tensors[:3], wanted[:3])
        value = torch.empty_like(g, dtype=torch.float64)
        for outputs, (x,), start in cut_into_rows(tensors, width):
            rows = slice(start, start + outputs.shape[0])
            column, is_class = _column(x, outputs, 0)
            nan_if_none = torch.where(is_class[:, 0], 1.0, torch.nan).to(g.dtype)
            log_p = self.op.overwrite(g[rows] * nan_if_none, outputs, column, attributes[-1])
            torch.mul(log_p, nan_if_none, out=value[rows])
            gradients.add(outputs, start)
        return value, gradients.results()

    def plain(self, outputs: Tensor, x: Tensor, *_: Any) -> Tensor:
        wide = outputs.to(accumulation_dtype((outputs,)))
        column, is_class = _column(x, wide, 0)
        value = wide.log_softmax(1).gather(1, column)
        return torch.where(is_class, value, torch.nan)[:, 0]

    composed = plain


def _column(x: Tensor, outputs: Tensor, start: int) -> tuple[Tensor, Tensor]:
    """Which of the outputs, the columns from ``start`` on, is each row's target, and whether it is
    among them at all: [rows, 1]."""
    column = x.long() - start
    width = outputs.shape[1]
    is_here = (column >= 0) & (column < width)
    return column.clamp(0, width - 1), is_here
