"""Operations whose kernels also take log sum exp of rows: of what lies along the last dimension of
the first input, as the logits of classes do.

One launch forward reads the logits once, one launch back reads them once and writes their
gradient; between them one or two numbers per row are kept. Those are float64, so that a
log-probability, a difference to log sum exp, is as exact where logits are large as where they are
small. A mask says which rows count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vaekern._backends import fast, plain
from vaekern._backends.choice import backend_named
from vaekern._backends.launch import (
    LogSumExp,
    PerDatapoint,
    Result,
    Source,
    accumulation_dtype,
    launch,
)
from vaekern._ops.autograd import apply_regular
from vaekern._ops.elementwise import Op, new_row_numbers

#: Whose kernel adds rows up.
_SUMS = plain.categorical_log_likelihood.__name__


class RowOp(Op):
    """What those have in common."""

    finds_partials = False
    within = staticmethod(plain.within_rows)


class LogSumExpOp(RowOp):
    """One that keeps log sum exp of each row."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fast = fast.plan_of_rows(self, apply_regular, _SUMS)


class CategoricalOp(LogSumExpOp):
    """Of logits and class indices, whose last dimension is 1. The kernels see the logits alone:
    the selected one of each row is looked up beside them, as is the place of its gradient. Where a
    row does not count, its index may be anything."""

    def _kernel(self, *args: Any) -> tuple[Tensor, Tensor]:
        (logits, x), mask, attributes = self.split(args)
        lse = new_row_numbers(logits)
        _launch_rows(self, "value", attributes, logits, [logits], [LogSumExp(lse.squeeze(-1))])
        rows = _inside(mask, _selected(logits, _inside(mask, x), lse))
        return _sums_of_rows(rows, attributes, accumulation_dtype([logits])), lse

    def _vjp_kernel(self, *args: Any) -> list[Tensor]:
        (g,), (logits, x, lse), mask, wanted, attributes = self.split_vjp(args)
        assert g is not None  # the only result's
        if not wanted[0]:
            return []
        found = backend_named(attributes[-1]).empty(logits, logits.dtype)
        sources = [PerDatapoint(g), logits, *high_and_low(lse, logits)]
        _launch_rows(self, "vjp", attributes, logits, _with_mask(sources, mask), [found])
        x = _inside(mask, x)
        one_less_p = -torch.expm1(_selected(logits, x, lse))
        own = g.reshape(*g.shape, *(1,) * (logits.dim() - g.dim())) * one_less_p
        return [found.scatter_(-1, x.long(), _inside(mask, own).to(found.dtype))]

    def overwrite(self, g: Tensor, logits: Tensor, x: Tensor, backend: str) -> Tensor:
        """log p of each row of logits [rows, classes], in float64. The logits are overwritten by
        their gradients for the upstream ones ``g``, one for each row."""
        attributes = (1, backend)
        lse = new_row_numbers(logits)
        _launch_rows(self, "value", attributes, logits, [logits], [LogSumExp(lse.squeeze(-1))])
        log_p = _selected(logits, x, lse)
        sources = [PerDatapoint(g), logits, *high_and_low(lse, logits)]
        _launch_rows(self, "vjp", attributes, logits, sources, [logits])
        own = g[:, None] * -torch.expm1(log_p)
        logits.scatter_(-1, x.long(), own.to(logits.dtype))
        return log_p.squeeze(-1)


class MultinomialOp(LogSumExpOp):
    """Of logits and counts of one shape, without the multinomial coefficient."""

    def _kernel(self, *args: Any) -> tuple[Tensor, Tensor, Tensor]:
        (logits, counts), mask, attributes = self.split(args)
        linear, lse, total = (new_row_numbers(logits) for _ in range(3))
        results = [
            PerDatapoint(linear.squeeze(-1)),
            PerDatapoint(total.squeeze(-1)),
            LogSumExp(lse.squeeze(-1)),
        ]
        _launch_rows(self, "value", attributes, logits, [logits, counts], results)
        rows = _inside(mask, torch.where(total == 0.0, linear, linear - total * lse))
        dtype = accumulation_dtype([logits, counts])
        return _sums_of_rows(rows, attributes, dtype), lse, total

    def _vjp_kernel(self, *args: Any) -> list[Tensor]:
        (g,), (logits, counts, lse, total), mask, wanted, attributes = self.split_vjp(args)
        backend = backend_named(attributes[-1])
        found = [
            backend.empty(t, t.dtype) if want else None
            for t, want in zip((logits, counts), wanted, strict=True)
        ]
        assert g is not None
        # Of the arithmetic's precision: in float64 all of a launch would be.
        total = total.to(accumulation_dtype((logits, counts)))
        sources = [PerDatapoint(g), total, logits, counts, *high_and_low(lse, logits, counts)]
        _launch_rows(self, "vjp", attributes, logits, _with_mask(sources, mask), found)
        return [gradient for gradient in found if gradient is not None]


def _launch_rows(
    op: Op,
    variant: str,
    attributes: Sequence[Any],
    logits: Tensor,
    sources: Sequence[Source],
    results: Sequence[Result],
) -> None:
    """One whose rows are those of the logits, however many of them a datapoint has."""
    launch(
        backend_named(attributes[-1]),
        op.kernel_name(variant, attributes),
        logits.shape,
        logits.dim() - 1,
        sources,
        results,
    )


def _with_mask(sources: Sequence[Source], mask: Tensor | None) -> list[Source]:
    return [*sources] if mask is None else [*sources, mask]


def _inside(mask: Tensor | None, rows: Tensor) -> Tensor:
    """The rows' numbers, 0 outside the mask."""
    return rows if mask is None else rows.masked_fill(~mask, 0)


def _selected(logits: Tensor, x: Tensor, lse: Tensor) -> Tensor:
    """log p of each row, in float64."""
    try:
        return logits.gather(-1, x.long()) - lse
    except RuntimeError as error:  # of a CPU, which looks
        n = logits.shape[-1]
        raise RuntimeError(f"x: expected classes, 0 to {n - 1}: {error}") from error


def high_and_low(lse: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor | float]:
    """float64 numbers as sums of two that have the precision of the arithmetic."""
    if accumulation_dtype(inputs) is torch.float64:
        return lse, 0.0
    high = lse.float()
    return high, (lse - high).nan_to_num_(0.0).float()


def _sums_of_rows(rows: Tensor, attributes: Sequence[Any], dtype: torch.dtype) -> Tensor:
    """Per datapoint, in the order that kernels add in: the one of classes adds up what it is told
    to add up."""
    batch_dims, backend = attributes[0], backend_named(attributes[-1])
    if rows.dim() == batch_dims + 1:
        return rows.squeeze(-1).to(dtype)
    sums = rows.new_empty(rows.shape[:batch_dims], dtype=dtype)
    launch(backend, (_SUMS, "", "value"), rows.shape, batch_dims, [rows], [PerDatapoint(sums)])
    return sums
