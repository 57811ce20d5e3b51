"""log sum exp of rows; the twin of ``csrc/cuda/log_sum_exp.h``, where the reasons stand."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.exponential import exp_of_minus


@triton.jit
def beside_top(top, value):
    """e^(value - top), also where both are infinite."""
    return tl.where(value == top, 1.0, exp_of_minus(top - value))


@triton.jit
def greatest_of_rows(values, mask):
    """Of where the mask is. A NaN is not: it comes through the sum."""
    numbers = tl.where(mask & (values == values), values, -float("inf"))
    return tl.max(numbers, axis=1, keep_dims=True)


@triton.jit
def log_sum_exp_of_rows(values, mask):
    """In float64, of where the mask is."""
    top = greatest_of_rows(values, mask)
    terms = tl.where(mask, beside_top(top, values), 0.0)
    total = tl.sum(terms.to(tl.float64), axis=1, keep_dims=True)
    return top.to(tl.float64) + tl.log(total)
