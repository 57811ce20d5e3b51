"""The kernel of categorical divergences: a program takes a block of rows, and passes over their
classes several times. What it reads again lies in a cache."""

# mypy: ignore-errors
# ruff: noqa: N803

from __future__ import annotations

import triton
import triton.language as tl

from vaekern._backends.triton.loops import constant_of, store_as
from vaekern._backends.triton.math.categorical_kl import (
    kl_exponentials,
    kl_log_ratio,
    kl_slopes,
    kl_term,
)
from vaekern._backends.triton.math.log_sum_exp import greatest_of_rows
from vaekern._backends.triton.math.scalar import fma
from vaekern._backends.triton.softmax_rows import add_rows, block_of, pair


@triton.jit(do_not_specialize=["rows", "other_rows", "rows_per_sum"])
def visit_categorical_kl(
    logits, other, upstream, other_upstream, mask, out, other_out, numbers, kept, floor,
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
        other_g = tl.load(other_upstream + row // rows_per_sum, mask=counts, other=0)
        other_g = other_g.to(COMPUTE) * mixing[0]
        for start in range(0, classes, C):
            col, within = block_of(row, classes, start, C, INDEX)
            inside = within & counts
            lm = pair(logits, other, row, rows, other_rows, classes, col, inside, COMPUTE)
            s, sr, t, tw = kl_slopes(of_row, mixing, lm, MIXED)
            at, stored = row * classes + col, within & exists
            if out is not None:
                store_as(out + at, tl.where(counts, g * fma(-a, s, sr), 0.0), stored)
            if other_out is not None:
                store_as(other_out + at, tl.where(counts, other_g * fma(b, t, -tw), 0.0), stored)
    else:
        total = nothing
        for start in range(0, classes, C):
            col, within = block_of(row, classes, start, C, INDEX)
            inside = within & counts
            lm = pair(logits, other, row, rows, other_rows, classes, col, inside, COMPUTE)
            (total,) = add_rows((total,), (kl_term(of_row, mixing, lm, MIXED, TINY),), inside)
        tl.store(numbers + row, tl.where(counts, total.to(COMPUTE).to(tl.float64), 0.0), exists)
