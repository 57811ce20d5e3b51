"""A linear layer's outputs, all of some rows at a time, and gradients collected from them: for
heads that know no gradient of a row before its last output.

The tensors are named as in ``chunks.py``. A chunk gives finished rows of the gradient of
``hidden`` and adds to the whole gradient of ``weight``, so it has many rows. (After the fused
linear cross-entropy of Liger Kernel, Hsu et al. 2024.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype, empty_contiguous
from vaekern._torch import shape_to_compare
from vaekern.last_layer.chunks import Chunk, add_product

#: Of a chunk's outputs.
_CHUNK_BYTES = 64 * 2**20
#: With fewer, adding to the gradient of ``weight`` would take longer than computing what is added.
_LEAST_ROWS = 128


def cut_into_rows(tensors: Sequence[Tensor], width: int) -> Iterator[Chunk]:
    """All outputs, in one buffer: as large as for ``width`` columns of them at a time. The head's
    tensors have a row for each of ``hidden``."""
    hidden, weight, bias, *others = tensors
    total, n = hidden.shape[0], weight.shape[0]
    size = min(total, max(1, total * width // n) if width else _rows(weight))
    buffer = hidden.new_empty(size, n)
    for start in range(0, total, size):
        rows = slice(start, min(start + size, total))
        outputs = buffer[: rows.stop - start]
        torch.addmm(bias, hidden[rows], weight.t(), out=outputs)
        yield Chunk(outputs, [t[rows] for t in others], start)


def _rows(weight: Tensor) -> int:
    wanted = _CHUNK_BYTES // (weight.shape[0] * weight.element_size())
    return max(_LEAST_ROWS, wanted // _LEAST_ROWS * _LEAST_ROWS)


class LayerGradients:
    """The wanted gradients of hidden, weight and bias, collected from chunk to chunk."""

    def __init__(self, layer: Sequence[Tensor], wanted: Sequence[bool]) -> None:
        self.layer = layer
        hidden, *parameters = layer
        wide = accumulation_dtype((hidden,))
        self.of_hidden = empty_contiguous(hidden, hidden.dtype) if wanted[0] else None
        self.of_weight, self.of_bias = (
            torch.zeros(t.shape, dtype=wide, device=t.device) if is_wanted else None
            for t, is_wanted in zip(parameters, wanted[1:], strict=True)
        )

    def add(self, outputs: Tensor, start: int) -> None:
        """The gradients of a chunk's outputs."""
        hidden, weight, _ = self.layer
        rows = slice(start, start + outputs.shape[0])
        if self.of_hidden is not None:
            torch.mm(outputs, weight, out=self.of_hidden[rows])
        if self.of_weight is not None:
            add_product(self.of_weight, outputs.t(), hidden[rows])
        if self.of_bias is not None:
            self.of_bias += outputs.sum(0, dtype=self.of_bias.dtype)

    def results(self) -> list[Tensor]:
        pairs = zip((self.of_hidden, self.of_weight, self.of_bias), self.layer, strict=True)
        return [total.to(tensor.dtype) for total, tensor in pairs if total is not None]


def for_rows(parameter: Tensor, x: Tensor) -> Tensor:
    """A parameter that broadcasts to x [..., N], as one that broadcasts to [rows, N]."""
    if parameter.dim() <= 1:
        return parameter
    leading, last = x.shape[:-1], parameter.shape[-1]
    if math.prod(shape_to_compare(parameter)[:-1]) > 1:
        parameter = parameter.expand(*leading, last)
    return parameter.reshape(-1, last)
