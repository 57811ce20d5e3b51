"""Launches of the kernels over rows of logits, of which a program takes a block."""

# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from vaekern._backends.launch import ROW_SUM, Softmax, SoftmaxKernel
from vaekern._backends.triton.launch import bits_of_double
from vaekern._backends.triton.plan import NARROW, one_dimension, steps_of_add_up
from vaekern._backends.triton.prepared import current, index_type, options
from vaekern._backends.triton.softmax_kl import visit_categorical_kl
from vaekern._backends.triton.softmax_samples import visit_samples
from vaekern._backends.triton.sums import memory_for_sums, prepare_sums, sum_up

TILE = 1024  # elements of a block
LONGEST = 2048  # classes of it


def softmax(call: Softmax) -> None:
    rows, classes, rows_per_sum = call.sizes
    device = call.logits.device
    width = min(LONGEST, triton.next_power_of_2(classes))
    height = max(1, TILE // width)
    wide = call.logits.numel() > NARROW
    is_kl = call.kernel in (SoftmaxKernel.KL, SoftmaxKernel.KL_VJP)
    own = _of_kl(call) if is_kl else _of_samples(call)
    with current(device):
        numbers = None if call.sums is None else memory_for_sums(rows, device)
        own.visit[(-(-rows // height),)](
            *own.tensors,
            numbers,
            bits_of_double(1.0 - call.unimix),
            bits_of_double(call.unimix / classes),
            *own.rows,
            classes,
            rows_per_sum,
            **own.constants,
            R=height,
            C=width,
            INDEX=index_type(wide),
            COMPUTE=tl.float64 if call.in_double else tl.float32,
            **options(call.in_double),
        )
        if numbers is not None and call.sums is not None:
            _sum_rows(numbers, call.sums, rows_per_sum, wide)


class _Own(NamedTuple):
    """What calls of one kernel have of their own."""

    visit: Any
    tensors: tuple[Tensor | None, ...]
    rows: tuple[int, ...]  # of the logits and, where they repeat, of others
    constants: dict[str, Any]


def _of_samples(call: Softmax) -> _Own:
    kind = "sample_mixed" if call.unimix > 0.0 else "sample"
    constants = {
        "FROM": kind if call.temperature is None else "relaxed",
        "HARD": call.kernel in (SoftmaxKernel.SAMPLE, SoftmaxKernel.RELAXED_HARD),
        "SEEDED": call.noise is not None and call.noise.dtype is torch.int64,
    }
    tensors = call.logits, call.noise, call.temperature, call.other, call.rows[0]
    return _Own(visit_samples, tensors, call.sizes[:1], constants)


def _of_kl(call: Softmax) -> _Own:
    assert call.other is not None
    constants = {
        "WANTS_GRADIENTS": call.upstream is not None,
        "MIXED": call.unimix > 0.0,
        "TINY": 2.0**-1022 if call.in_double else 2.0**-126,
    }
    tensors = call.logits, call.other, call.upstream, call.mask, *call.rows
    rows, classes, _ = call.sizes
    return _Own(visit_categorical_kl, tensors, (rows, call.other.numel() // classes), constants)


def _sum_rows(numbers: Tensor, sums: Tensor, rows_per_sum: int, wide: bool) -> None:
    n = numbers.numel() // rows_per_sum
    steps = steps_of_add_up(one_dimension(n, rows_per_sum), one_dimension(rows_per_sum, 1))
    sum_up(prepare_sums(steps, ROW_SUM, wide), numbers, sums)
