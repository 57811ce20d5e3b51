"""A linear layer's outputs, some columns at a time, and gradients collected from them.

The tensors of a layer are hidden [rows, features], weight [outputs, features], bias [outputs] and
those of its head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype, empty_contiguous

#: Of a chunk's outputs, by device. Processors want them in their caches; on GPUs a chunk is a
#: handful of launches, which should be worth their while.
_CHUNK_BYTES = {"cpu": 8 * 2**20}
_CHUNK_BYTES_ELSEWHERE = 64 * 2**20
#: Narrower matrix products are slow. With as many columns a chunk is about as large as ``hidden``.
_LEAST_COLUMNS = 64


class Chunk(NamedTuple):
    """The columns from ``start`` on, with the head's tensors for them."""

    outputs: Tensor
    tensors: Sequence[Tensor]
    start: int


def _is_cut(k: int, tensors: Sequence[Tensor]) -> bool:
    """Whether the input belongs to the outputs column by column: weight and bias, and of the head's
    those with a number for each."""
    if k < 3:
        return k > 0
    return tensors[k].dim() > 0 and tensors[k].shape[-1] == tensors[1].shape[0]


def cut_into_chunks(tensors: Sequence[Tensor], width: int) -> Iterator[Chunk]:
    """All outputs, ``width`` columns at a time, in one buffer."""
    hidden, weight, bias, *others = tensors
    rows, n = hidden.shape[0], weight.shape[0]
    width = min(n, width or columns_at_a_time(hidden))
    buffer = hidden.new_empty(rows * width)
    cut = [_is_cut(k, tensors) for k in range(3, len(tensors))]
    # Gradients of the others are summed over chunks: rounded after that alone.
    others = [
        t if is_cut or not t.is_floating_point() else t.to(accumulation_dtype((t,)))
        for t, is_cut in zip(others, cut, strict=True)
    ]
    for start in range(0, n, max(width, 1)):
        columns = slice(start, min(start + width, n))
        outputs = buffer[: rows * (columns.stop - start)].view(rows, columns.stop - start)
        torch.addmm(bias[columns], hidden, weight[columns].t(), out=outputs)
        here = [t[..., columns] if is_cut else t for t, is_cut in zip(others, cut, strict=True)]
        yield Chunk(outputs, here, start)


def columns_at_a_time(hidden: Tensor) -> int:
    row_bytes = max(1, hidden.shape[0] * hidden.element_size())
    wanted = _CHUNK_BYTES.get(hidden.device.type, _CHUNK_BYTES_ELSEWHERE) // row_bytes
    return max(_LEAST_COLUMNS, wanted // _LEAST_COLUMNS * _LEAST_COLUMNS)


class Gradients:
    """The wanted gradients of a layer's tensors, collected from chunk to chunk."""

    def __init__(self, tensors: Sequence[Tensor], wanted: Sequence[bool]) -> None:
        self.tensors = tensors
        self.wanted = wanted
        self.totals = [
            self._empty(k, tensor) if is_wanted else None
            for k, (tensor, is_wanted) in enumerate(zip(tensors, wanted, strict=True))
        ]

    def _empty(self, k: int, tensor: Tensor) -> Tensor:
        """Memory for pieces to be put side by side, or zeros to sum chunks up in."""
        if _is_cut(k, self.tensors):
            return empty_contiguous(tensor, tensor.dtype)
        wide = accumulation_dtype((tensor,)) if k == 0 else torch.float64
        return torch.zeros(tensor.shape, dtype=wide, device=tensor.device)

    def add(self, chunk: Chunk, found: Sequence[Tensor]) -> None:
        """``found`` are the gradient of the chunk's outputs and the wanted ones of its head."""
        outputs, *others = found
        columns = slice(chunk.start, chunk.start + outputs.shape[1])
        hidden, weight, bias, *of_head = self.totals
        if hidden is not None:
            add_product(hidden, outputs, self.tensors[1][columns])
        if weight is not None:
            torch.mm(outputs.t(), self.tensors[0], out=weight[columns])
        if bias is not None:
            torch.sum(outputs, 0, out=bias[columns])
        pieces = iter(others)
        for k, total in enumerate(of_head, 3):
            if total is None:
                continue
            if _is_cut(k, self.tensors):
                total[..., columns] = next(pieces)
            else:
                total += next(pieces)

    def results(self) -> list[Tensor]:
        pairs = zip(self.totals, self.tensors, strict=True)
        return [total.to(tensor.dtype) for total, tensor in pairs if total is not None]


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """In the dtype of the total, whichever that of the factors."""
    if total.dtype is left.dtype:
        total.addmm_(left, right)
    else:
        total += torch.mm(left, right)
