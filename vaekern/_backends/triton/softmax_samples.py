"""The kernel of categorical samples, straight-through and relaxed: a program takes a block of rows,
and passes over their classes several times. What it reads again lies in a cache."""

# mypy: ignore-errors
# ruff: noqa: N803

from __future__ import annotations

import triton
import triton.language as tl

from vaekern._backends.triton.loops import constant_of, store_as
from vaekern._backends.triton.math.log_sum_exp import greatest_of_rows
from vaekern._backends.triton.math.sample_categorical import relaxed_weight, score
from vaekern._backends.triton.math.scalar import divide
from vaekern._backends.triton.math.softmax_row import below_top, exp_below_top
from vaekern._backends.triton.philox import gumbels_of_elements
from vaekern._backends.triton.softmax_rows import add_rows, block_of, load


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
