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
from vaekern._backends.triton.plan import (
    NARROW,
    AddUp,
    one_dimension,
    steps_of_add_up,
    steps_of_total,
)
from vaekern._backends.triton.prepared import Launch, current, index_type, layout_of, remembered
from vaekern._backends.triton.softmax_kl import visit_categorical_kl
from vaekern._backends.triton.softmax_samples import visit_samples
from vaekern._backends.triton.sums import Steps, memory_for_sums, prepare_sums, sum_up

TILE = 1024  # elements of a block
LONGEST = 2048  # classes of it


class Visit(NamedTuple):
    """The launch of a kernel, and those that add up the numbers of its rows."""

    rows: Launch
    sums: Steps


def softmax(call: Softmax) -> None:
    device = call.logits.device
    own = _tensors_of_kl(call) if _is_kl(call) else _tensors_of_samples(call)
    layouts = tuple([None if t is None else layout_of(t) for t in (*own, call.sums)])
    layout = call.kernel, call.sizes, call.unimix > 0.0, layouts, device
    rows, classes, _ = call.sizes
    with current(device):
        found = remembered(layout, _prepare, call)
        numbers = None if call.sums is None else memory_for_sums(rows, device)
        kept, floor = bits_of_double(1.0 - call.unimix), bits_of_double(call.unimix / classes)
        found.rows(*own, numbers, kept, floor)
        if numbers is not None and call.sums is not None:
            sum_up(found.sums, numbers, call.sums)


def _is_kl(call: Softmax) -> bool:
    return call.kernel in (SoftmaxKernel.KL, SoftmaxKernel.KL_VJP)


def _tensors_of_kl(call: Softmax) -> tuple[Tensor | None, ...]:
    return call.logits, call.other, call.upstream, call.other_upstream, call.mask, *call.rows


def _tensors_of_samples(call: Softmax) -> tuple[Tensor | None, ...]:
    return call.logits, call.noise, call.temperature, call.other, call.rows[0]


def _prepare(call: Softmax) -> Visit:
    rows, classes, rows_per_sum = call.sizes
    width = min(LONGEST, triton.next_power_of_2(classes))
    height = max(1, TILE // width)
    wide = call.logits.numel() > NARROW
    own = _of_kl(call) if _is_kl(call) else _of_samples(call)
    constants = {
        **own.constants,
        "R": height,
        "C": width,
        "INDEX": index_type(wide),
        "COMPUTE": tl.float64 if call.in_double else tl.float32,
    }
    sizes = (*own.rows, classes, rows_per_sum)
    launch = Launch(own.visit, -(-rows // height), sizes, constants, call.in_double)
    if call.sums is None:
        return Visit(launch, ())
    return Visit(launch, prepare_sums(_steps_of_sums(call), ROW_SUM, wide))


class _Own(NamedTuple):
    """What calls of one kernel have of their own."""

    visit: Any
    rows: tuple[int, ...]  # of the logits and, where they repeat, of others
    constants: dict[str, Any]


def _of_samples(call: Softmax) -> _Own:
    kind = "sample_mixed" if call.unimix > 0.0 else "sample"
    constants = {
        "FROM": kind if call.temperature is None else "relaxed",
        "HARD": call.kernel in (SoftmaxKernel.SAMPLE, SoftmaxKernel.RELAXED_HARD),
        "SEEDED": call.noise is not None and call.noise.dtype is torch.int64,
    }
    return _Own(visit_samples, call.sizes[:1], constants)


def _of_kl(call: Softmax) -> _Own:
    assert call.other is not None
    constants = {
        "WANTS_GRADIENTS": call.upstream is not None,
        "MIXED": call.unimix > 0.0,
        "TINY": 2.0**-1022 if call.in_double else 2.0**-126,
    }
    rows, classes, _ = call.sizes
    return _Own(visit_categorical_kl, (rows, call.other.numel() // classes), constants)


def _steps_of_sums(call: Softmax) -> tuple[AddUp, ...]:
    """Sums of datapoints, of which there may be one, or of all rows that have a temperature."""
    rows, _, rows_per_sum = call.sizes
    if call.temperature is not None and rows == rows_per_sum:
        return steps_of_total(rows)
    kept = one_dimension(rows // rows_per_sum, rows_per_sum)
    return steps_of_add_up(kept, one_dimension(rows_per_sum, 1))
