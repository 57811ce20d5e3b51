"""What is computed from some outputs of a linear layer at a time: [rows, columns] of them.

A head is a likelihood whose value is gathered from chunk to chunk. ``inputs`` are its tensors
beside the outputs; one whose last dimension is as long as the outputs' is handed over in the same
chunks, any other as a whole. ``state`` names what the backward needs of the forward beside its
inputs, and ``attributes`` is the part of the op's schema for what is not a tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from vaekern._launch import accumulation_dtype
from vaekern._linear_chunks import Chunk
from vaekern._op import Op


class Head(Protocol):
    name: str
    inputs: tuple[str, ...]
    state: tuple[str, ...]
    attributes: str

    def value(
        self, chunks: Iterable[Chunk], rows: Tensor, attributes: Sequence[Any]
    ) -> list[Tensor]:
        """The value of each row, then the state. ``rows`` is a float64 tensor of zeros."""

    def vjp(
        self,
        g: Tensor,
        chunk: Chunk,
        state: Sequence[Tensor],
        wanted: Sequence[bool],
        attributes: Sequence[Any],
    ) -> list[Tensor]:
        """The gradient of the outputs, then those of the tensors that are ``wanted``."""

    def plain(self, outputs: Tensor, *arguments: Any) -> Tensor:
        """The value from all outputs in torch operations. The last argument, the backend, is
        ignored."""

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

    def value(
        self, chunks: Iterable[Chunk], rows: Tensor, attributes: Sequence[Any]
    ) -> list[Tensor]:
        for chunk in chunks:
            rows += self.op.execute(chunk.outputs, *self._arguments((*chunk.tensors, *attributes)))
        return [rows]

    def vjp(
        self,
        g: Tensor,
        chunk: Chunk,
        state: Sequence[Tensor],
        wanted: Sequence[bool],
        attributes: Sequence[Any],
    ) -> list[Tensor]:
        no_mask = self.op.mask_slot(None)
        return self.op.execute_vjp(
            g, chunk.outputs, *chunk.tensors, *no_mask, [True, *wanted], 1, *attributes
        )

    def plain(self, outputs: Tensor, *arguments: Any) -> Tensor:
        n = len(self.inputs)
        value: Tensor = self.op.plain(outputs, *arguments[:n], 1, *arguments[n:-1])
        return value

    def composed(self, outputs: Tensor, *arguments: Any) -> Tensor:
        value: Tensor = self.op.differentiable(outputs, *self._arguments(arguments))
        return value

    def _arguments(self, arguments: Sequence[Any]) -> tuple[Any, ...]:
        """Those of the operation: tensors, no mask, one batch dimension, the other attributes."""
        n = len(self.inputs)
        return (*arguments[:n], *self.op.mask_slot(None), 1, *arguments[n:])


class Categorical:
    """log softmax of the outputs at the target: streamed, by the logarithm of the sum of the
    exponentials so far. In torch operations on every backend. The targets are [rows, 1]."""

    name = "categorical_log_likelihood"
    inputs: tuple[str, ...] = ("x",)
    state: tuple[str, ...] = ("log_normaliser",)
    attributes = ""

    def value(
        self, chunks: Iterable[Chunk], rows: Tensor, attributes: Sequence[Any]
    ) -> list[Tensor]:
        log_sum = torch.full_like(rows, -torch.inf)
        at_target = torch.full_like(rows, torch.nan)  # stays so where the target is no class
        for chunk in chunks:
            wide = chunk.outputs.to(accumulation_dtype((chunk.outputs,)))
            torch.logaddexp(log_sum, wide.logsumexp(1).to(log_sum.dtype), out=log_sum)
            column, is_here = _column(chunk)
            found = wide.gather(1, column).to(rows.dtype)
            at_target = torch.where(is_here[:, 0], found[:, 0], at_target)
        return [at_target - log_sum, log_sum]

    def vjp(
        self,
        g: Tensor,
        chunk: Chunk,
        state: Sequence[Tensor],
        wanted: Sequence[bool],
        attributes: Sequence[Any],
    ) -> list[Tensor]:
        column, is_here = _column(chunk)
        p = torch.sub(chunk.outputs, state[0][:, None]).exp_().mul_(-g[:, None])
        # One number per row: a gather and a scatter need no atomics, as scatter_add does.
        p.scatter_(1, column, p.gather(1, column) + torch.where(is_here, g[:, None], 0.0))
        return [p.to(chunk.outputs.dtype)]

    def plain(self, outputs: Tensor, x: Tensor, *_: Any) -> Tensor:
        wide = outputs.to(accumulation_dtype((outputs,)))
        column, is_class = _column(Chunk(wide, (x,), 0))
        value = wide.log_softmax(1).gather(1, column)
        return torch.where(is_class, value, torch.nan)[:, 0]

    composed = plain


def _column(chunk: Chunk) -> tuple[Tensor, Tensor]:
    """Where in the chunk each row's target is, and whether it is there at all: [rows, 1]."""
    column = chunk.tensors[0].long() - chunk.start
    width = chunk.outputs.shape[1]
    is_here = (column >= 0) & (column < width)
    return column.clamp(0, width - 1), is_here
