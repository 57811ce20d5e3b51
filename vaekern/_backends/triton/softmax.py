"""The kernels over rows of logits: a program takes a block of rows, and passes over their classes
several times. What it reads again lies in a cache."""

# mypy: ignore-errors
# ruff: noqa: N803, RUF005

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vaekern._backends.launch import ROW_SUM, Output, Softmax
from vaekern._backends.triton.launch import _add_up, _bits, _current, _index, options
from vaekern._backends.triton.loops import constant_of, store_as
from vaekern._backends.triton.math.categorical_kl import (
    kl_exponentials,
    kl_log_ratio,
    kl_slopes,
    kl_term,
)
from vaekern._backends.triton.math.log_sum_exp import greatest_of_rows
from vaekern._backends.triton.math.scalar import fma
from vaekern._backends.triton.plan import NARROW, one_dimension, steps_of_add_up

TILE = 1024  # elements of a block
LONGEST = 2048  # classes of it


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


@triton.jit(do_not_specialize=["rows", "rows_per_sum"])
def visit_categorical_kl(
    logits, other, upstream, mask, out, other_out, numbers, kept, floor,
    rows, other_rows, classes, rows_per_sum,
    WANTS_GRADIENTS: tl.constexpr, MIXED: tl.constexpr, TINY: tl.constexpr,
    R: tl.constexpr, C: tl.constexpr, INDEX: tl.constexpr, COMPUTE: tl.constexpr,
):  # fmt: skip
    """``numbers`` gets the rows' divergences; or ``out`` and ``other_out`` the gradients."""
    row = tl.program_id(0).to(INDEX) * R + tl.arange(0, R).to(INDEX)[:, None]
    exists = row < rows
    counts = exists
    if mask is not None:
        counts = exists & (tl.load(mask + row, mask=exists, other=0) != 0)
    mixing = constant_of(kept).to(COMPUTE), constant_of(floor).to(COMPUTE)

    top = tl.full([R, 1], -float("inf"), COMPUTE)
    prior_top = tl.full([R, 1], -float("inf"), COMPUTE)
    for start in range(0, classes, C):
        col, within = block_of(row, classes, start, C, INDEX)
        inside = within & counts
        lm = pair(logits, other, row, rows, other_rows, classes, col, inside, COMPUTE)
        top = tl.maximum(top, greatest_of_rows(lm[0], inside))
        prior_top = tl.maximum(prior_top, greatest_of_rows(lm[1], inside))
    tops = top, prior_top
    nothing = tl.zeros([R, 1], tl.float64)
    e, f, more = nothing, nothing, nothing
    for start in range(0, classes, C):
        col, within = block_of(row, classes, start, C, INDEX)
        inside = within & counts
        lm = pair(logits, other, row, rows, other_rows, classes, col, inside, COMPUTE)
        e, f, more = add_rows((e, f, more), kl_exponentials(tops, lm), inside)
    sums = e.to(COMPUTE), f.to(COMPUTE), more.to(COMPUTE)
    of_row = tops, sums, kl_log_ratio(sums)

    if WANTS_GRADIENTS:
        mean, prior_mean = nothing, nothing
        for start in range(0, classes, C):
            col, within = block_of(row, classes, start, C, INDEX)
            inside = within & counts
            lm = pair(logits, other, row, rows, other_rows, classes, col, inside, COMPUTE)
            _, sr, _, tw = kl_slopes(of_row, mixing, lm, MIXED)
            mean, prior_mean = add_rows((mean, prior_mean), (sr, tw), inside)
        a, b = mean.to(COMPUTE), prior_mean.to(COMPUTE)
        if not MIXED:
            b = b * 0.0
        g = tl.load(upstream + row // rows_per_sum, mask=counts, other=0).to(COMPUTE) * mixing[0]
        for start in range(0, classes, C):
            col, within = block_of(row, classes, start, C, INDEX)
            inside = within & counts
            lm = pair(logits, other, row, rows, other_rows, classes, col, inside, COMPUTE)
            s, sr, t, tw = kl_slopes(of_row, mixing, lm, MIXED)
            at, stored = row * classes + col, within & exists
            if out is not None:
                store_as(out + at, tl.where(counts, g * fma(-a, s, sr), 0.0), stored)
            if other_out is not None:
                store_as(other_out + at, tl.where(counts, g * fma(b, t, -tw), 0.0), stored)
    else:
        total = nothing
        for start in range(0, classes, C):
            col, within = block_of(row, classes, start, C, INDEX)
            inside = within & counts
            lm = pair(logits, other, row, rows, other_rows, classes, col, inside, COMPUTE)
            (total,) = add_rows((total,), (kl_term(of_row, mixing, lm, MIXED, TINY),), inside)
        tl.store(numbers + row, tl.where(counts, total.to(COMPUTE).to(tl.float64), 0.0), exists)


def softmax(call: Softmax) -> None:
    rows, classes, rows_per_sum = call.sizes
    device = call.logits.device
    width = min(LONGEST, triton.next_power_of_2(classes))
    height = max(1, TILE // width)
    wide = call.logits.numel() > NARROW
    assert call.other is not None
    with _current(device):
        numbers = None
        if call.sums is not None:
            numbers = torch.empty(rows, dtype=torch.float64, device=device)
        visit_categorical_kl[(-(-rows // height),)](
            call.logits,
            call.other,
            call.upstream,
            call.mask,
            *call.rows,
            numbers,
            _bits(1.0 - call.unimix),
            _bits(call.unimix / classes),
            rows,
            call.other.numel() // classes,
            classes,
            rows_per_sum,
            WANTS_GRADIENTS=call.upstream is not None,
            MIXED=call.unimix > 0.0,
            TINY=2.0**-1022 if call.in_double else 2.0**-126,
            R=height,
            C=width,
            INDEX=_index(wide),
            COMPUTE=tl.float64 if call.in_double else tl.float32,
            **options(call.in_double),
        )
        if call.sums is not None:
            assert numbers is not None
            _sum_rows(numbers, call.sums, rows_per_sum, wide)


def _sum_rows(numbers: Tensor, sums: Tensor, rows_per_sum: int, wide: bool) -> None:
    output = Output(ROW_SUM, sums, None)
    n = numbers.numel() // rows_per_sum
    steps = steps_of_add_up(one_dimension(n, rows_per_sum), one_dimension(rows_per_sum, 1))
    for step in steps:
        numbers = _add_up(step, numbers, output, wide)
