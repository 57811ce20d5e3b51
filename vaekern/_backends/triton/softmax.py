"""Launches of the kernels over rows of logits, of which a program takes a block."""

# mypy: ignore-errors

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vaekern._backends.launch import ROW_SUM, Softmax
from vaekern._backends.triton.launch import _bits
from vaekern._backends.triton.plan import NARROW, one_dimension, steps_of_add_up
from vaekern._backends.triton.prepared import current, index_type, options
from vaekern._backends.triton.softmax_kl import visit_categorical_kl
from vaekern._backends.triton.softmax_samples import visit_samples
from vaekern._backends.triton.sums import memory_for_sums, prepare_sums, sum_up

TILE = 1024  # elements of a block
LONGEST = 2048  # classes of it


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
