"""The kernels over rows of logits: a program takes a block of rows, and passes over their classes
several times. What it reads again lies in a cache."""

# mypy: ignore-errors
# ruff: noqa: N803, RUF005

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vaekern._backends.launch import ROW_SUM, Softmax
from vaekern._backends.triton.launch import _bits
from vaekern._backends.triton.loops import constant_of, store_as
from vaekern._backends.triton.math.categorical_kl import (
    kl_exponentials,
    kl_log_ratio,
    kl_slopes,
    kl_term,
)
from vaekern._backends.triton.math.log_sum_exp import greatest_of_rows
from vaekern._backends.triton.math.sample_categorical import relaxed_weight, score
from vaekern._backends.triton.math.scalar import divide, fma
from vaekern._backends.triton.math.softmax_row import below_top, exp_below_top
from vaekern._backends.triton.philox import gumbels_of_elements
from vaekern._backends.triton.plan import NARROW, one_dimension, steps_of_add_up
from vaekern._backends.triton.prepared import current, index_type, options
from vaekern._backends.triton.sums import memory_for_sums, prepare_sums, sum_up

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


@triton.jit
def noise_of(noise, index, inside, SEEDED: tl.constexpr, COMPUTE: tl.constexpr):
    if SEEDED:
        result = gumbels_of_elements(index, noise, COMPUTE)
    else:
        result = tl.load(noise + index, mask=inside, other=0).to(COMPUTE)
    return result


@triton.jit
def perturbed(z_of, top, logit, noise, FROM: tl.constexpr):
    """What the largest is taken of: scores of a sample, or relaxed ones."""
    mixing, total = z_of
    if FROM == "sample_mixed":
        result = score(logit, noise, top, total, mixing)
    else:
        result = below_top(logit, top) + noise
    return result


@triton.jit(do_not_specialize=["rows", "rows_per_sum"])
def visit_samples(
    logits, noise, temperature, upstream, out, numbers, kept, floor, rows, classes, rows_per_sum,
    FROM: tl.constexpr, HARD: tl.constexpr, SEEDED: tl.constexpr,
    R: tl.constexpr, C: tl.constexpr, INDEX: tl.constexpr, COMPUTE: tl.constexpr,
):  # fmt: skip
    """Samples, or the gradients of logits and what the temperature's is made of. FROM is "sample",
    "sample_mixed" or "relaxed"."""
    row = tl.program_id(0).to(INDEX) * R + tl.arange(0, R).to(INDEX)[:, None]
    exists = row < rows
    mixing = constant_of(kept).to(COMPUTE), constant_of(floor).to(COMPUTE)
    tau = tl.full([R, 1], 1.0, COMPUTE)
    if FROM == "relaxed":
        tau = tl.load(temperature + row // rows_per_sum, mask=exists, other=1).to(COMPUTE)

    top = tl.full([R, 1], -float("inf"), COMPUTE)
    for start in range(0, classes, C):
        col, within = block_of(row, classes, start, C, INDEX)
        inside = within & exists
        logit = load(logits, row, rows, classes, col, inside, COMPUTE)
        top = tl.maximum(top, greatest_of_rows(logit, inside))

    # The sum of exponentials, and of those times upstream gradients: beside the largest logit, or
    # beside the largest perturbed one.
    total = tl.zeros([R, 1], tl.float64)
    if FROM != "relaxed":
        for start in range(0, classes, C):
            col, within = block_of(row, classes, start, C, INDEX)
            inside = within & exists
            logit = load(logits, row, rows, classes, col, inside, COMPUTE)
            (total,) = add_rows((total,), (exp_below_top(logit, top),), inside)
    z_of = mixing, total.to(COMPUTE)
    best = tl.full([R, 1], -float("inf"), COMPUTE)
    if upstream is None or FROM == "relaxed":
        for start in range(0, classes, C):
            col, within = block_of(row, classes, start, C, INDEX)
            inside = within & exists
            logit = load(logits, row, rows, classes, col, inside, COMPUTE)
            g = noise_of(noise, row * classes + col, inside, SEEDED, COMPUTE)
            best = tl.maximum(best, greatest_of_rows(perturbed(z_of, top, logit, g, FROM), inside))
    if FROM == "relaxed":
        for start in range(0, classes, C):
            col, within = block_of(row, classes, start, C, INDEX)
            inside = within & exists
            logit = load(logits, row, rows, classes, col, inside, COMPUTE)
            g = noise_of(noise, row * classes + col, inside, SEEDED, COMPUTE)
            weight, _ = relaxed_weight(best, perturbed(z_of, top, logit, g, FROM), tau)
            (total,) = add_rows((total,), (weight,), inside)
    e = total.to(COMPUTE)

    if upstream is None:
        first = tl.full([R, 1], 0, INDEX) + classes
        if HARD:
            for start in range(0, classes, C):
                col, within = block_of(row, classes, start, C, INDEX)
                inside = within & exists
                logit = load(logits, row, rows, classes, col, inside, COMPUTE)
                g = noise_of(noise, row * classes + col, inside, SEEDED, COMPUTE)
                is_best = inside & (perturbed(z_of, top, logit, g, FROM) == best)
                here = tl.min(tl.where(is_best, col, classes), axis=1, keep_dims=True)
                first = tl.minimum(first, here.to(INDEX))
        for start in range(0, classes, C):
            col, within = block_of(row, classes, start, C, INDEX)
            inside = within & exists
            if HARD:
                chosen = tl.where(col == first, 1.0, 0.0).to(COMPUTE)
                sample = tl.where(e == e, chosen, e)
            else:
                logit = load(logits, row, rows, classes, col, inside, COMPUTE)
                g = noise_of(noise, row * classes + col, inside, SEEDED, COMPUTE)
                weight, _ = relaxed_weight(best, perturbed(z_of, top, logit, g, FROM), tau)
                sample = divide(weight, e)
            store_as(out + row * classes + col, sample, inside)
    else:
        mean = tl.zeros([R, 1], tl.float64)
        of_tau = tl.zeros([R, 1], tl.float64)
        for step in tl.static_range(2):
            average = divide(mean.to(COMPUTE), e)
            for start in range(0, classes, C):
                col, within = block_of(row, classes, start, C, INDEX)
                inside = within & exists
                logit = load(logits, row, rows, classes, col, inside, COMPUTE)
                own = load(upstream, row, rows, classes, col, inside, COMPUTE)
                weight, below = exp_below_top(logit, top), own * 0.0
                if FROM == "relaxed":
                    g = noise_of(noise, row * classes + col, inside, SEEDED, COMPUTE)
                    z = perturbed(z_of, top, logit, g, FROM)
                    weight, below = relaxed_weight(best, z, tau)
                if step == 0:
                    (mean,) = add_rows(
                        (mean,), (tl.where(weight == 0.0, 0.0, weight * own),), inside
                    )
                else:
                    slope = divide(weight, e) * (own - average)
                    if FROM == "relaxed":
                        slope = divide(slope, tau)
                        of_class = tl.where(weight == 0.0, 0.0, slope * below)
                        (of_tau,) = add_rows((of_tau,), (of_class,), inside)
                    else:
                        slope = slope * mixing[0]
                    store_as(out + row * classes + col, slope, inside)
        if numbers is not None:
            tl.store(numbers + row, of_tau, exists)


def softmax(call: Softmax) -> None:
    if call.kernel in _OF_SAMPLES:
        _run_samples(call)
    else:
        _run_kl(call)


# As in csrc/softmax.h.
_SAMPLE, _RELAXED_HARD = 2, 5
_OF_SAMPLES = range(2, 7)


def _run_samples(call: Softmax) -> None:
    rows, classes, rows_per_sum = call.sizes
    width = min(LONGEST, triton.next_power_of_2(classes))
    height = max(1, TILE // width)
    wide = call.logits.numel() > NARROW
    kind = "sample_mixed" if call.unimix > 0.0 else "sample"
    with current(call.logits.device):
        numbers = None
        if call.sums is not None:
            numbers = memory_for_sums(rows, call.logits.device)
        visit_samples[(-(-rows // height),)](
            call.logits,
            call.noise,
            call.temperature,
            call.other,
            call.rows[0],
            numbers,
            _bits(1.0 - call.unimix),
            _bits(call.unimix / classes),
            rows,
            classes,
            rows_per_sum,
            FROM=kind if call.temperature is None else "relaxed",
            HARD=call.kernel in (_SAMPLE, _RELAXED_HARD),
            SEEDED=call.noise is not None and call.noise.dtype is torch.int64,
            R=height,
            C=width,
            INDEX=index_type(wide),
            COMPUTE=tl.float64 if call.in_double else tl.float32,
            **options(call.in_double),
        )
        if call.sums is not None:
            assert numbers is not None
            _sum_rows(numbers, call.sums, rows_per_sum, wide)


def _run_kl(call: Softmax) -> None:
    rows, classes, rows_per_sum = call.sizes
    device = call.logits.device
    width = min(LONGEST, triton.next_power_of_2(classes))
    height = max(1, TILE // width)
    wide = call.logits.numel() > NARROW
    assert call.other is not None
    with current(device):
        numbers = None
        if call.sums is not None:
            numbers = memory_for_sums(rows, device)
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
            INDEX=index_type(wide),
            COMPUTE=tl.float64 if call.in_double else tl.float32,
            **options(call.in_double),
        )
        if call.sums is not None:
            assert numbers is not None
            _sum_rows(numbers, call.sums, rows_per_sum, wide)


def _sum_rows(numbers: Tensor, sums: Tensor, rows_per_sum: int, wide: bool) -> None:
    n = numbers.numel() // rows_per_sum
    steps = steps_of_add_up(one_dimension(n, rows_per_sum), one_dimension(rows_per_sum, 1))
    sum_up(prepare_sums(steps, ROW_SUM, wide), numbers, sums)
