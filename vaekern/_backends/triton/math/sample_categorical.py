"""Samples of categorical distributions; the twin of ``csrc/math/sample_categorical.h``, where the
reasons stand."""

# mypy: ignore-errors

import triton

from vaekern._backends.triton.math.exponential import exp_of_minus
from vaekern._backends.triton.math.logarithm import log
from vaekern._backends.triton.math.scalar import divide, fma
from vaekern._backends.triton.math.softmax_row import exp_below_top


@triton.jit
def score(logit, noise, top, total, mixing):
    kept, floor = mixing
    return log(fma(divide(exp_below_top(logit, top), total), kept, floor)) + noise


@triton.jit
def relaxed_weight(top, z, temperature):
    """Beside that of the largest; and how far below it, in temperatures."""
    below = divide(top - z, temperature)
    return exp_of_minus(below), below
