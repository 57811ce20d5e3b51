"""What kernels over rows of logits share: a block of them, its loads, and sums of its rows."""

# mypy: ignore-errors
# ruff: noqa: N803, RUF005

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def block_of(row, classes, start, C: tl.constexpr, INDEX: tl.constexpr):
    """Offsets within rows, and which of them there are."""
    col = start + tl.arange(0, C).to(INDEX)[None, :]
    return col, (col < classes) & (row >= 0)


@triton.jit
def load(pointer, row, rows, classes, col, inside, COMPUTE: tl.constexpr):
    """Of rows that repeat in order."""
    return tl.load(pointer + (row % rows) * classes + col, mask=inside, other=0).to(COMPUTE)


@triton.jit
def pair(logits, other, row, rows, other_rows, classes, col, inside, COMPUTE: tl.constexpr):
    return (
        load(logits, row, rows, classes, col, inside, COMPUTE),
        load(other, row, other_rows, classes, col, inside, COMPUTE),
    )


@triton.jit
def add_rows(totals, terms, inside):
    """Sums of rows in float64, with what is inside a block added."""
    found = ()
    for k in tl.static_range(len(totals)):
        term = tl.where(inside, terms[k], 0.0).to(tl.float64)
        found = found + (totals[k] + tl.sum(term, axis=1, keep_dims=True),)
    return found
