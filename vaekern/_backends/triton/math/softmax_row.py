"""Exponentials beside a row's largest logit; the twin of ``csrc/math/softmax_row.h``, where the
reasons stand."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.exponential import precise_exp
from vaekern._backends.triton.math.scalar import (
    INF,
    difference,
    finite_or_zero,
    fma,
)


@triton.jit
def below_top(logit, top):
    return tl.where((logit == top) & (top > -INF), 0.0, logit - top)


@triton.jit
def exp_below_top(logit, top):
    d, lost = difference(logit, top)
    e = precise_exp(d)
    exact = fma(e, finite_or_zero(lost), e)
    return tl.where((logit == top) & (top > -INF), 1.0, exact)
