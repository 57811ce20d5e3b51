"""One component of a mixture of discretized logistics over red, green and blue pixels, and the sum
over components; the twin of ``csrc/math/logistic_mixture.h``, where the reasons stand."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.exponential import exp_of_minus
from vaekern._backends.triton.math.limited_logistic import (
    limited_logistic,
    limited_logistic_gradients,
)
from vaekern._backends.triton.math.logarithm import log, log_of_normal
from vaekern._backends.triton.math.scalar import (
    INF,
    absolute,
    at_least,
    divide,
    fma,
)


@triton.jit
def tanh(x):
    """And its derivative."""
    e = exp_of_minus(absolute(x) * 2.0)
    inverse = divide(1.0, e + 1.0)
    magnitude = (1.0 - e) * inverse
    return tl.where(x < 0.0, -magnitude, magnitude), 4.0 * e * (inverse * inverse)


@triton.jit
def rgb_logistic(p, x):
    """log p, and what its gradients need."""
    c0, dc0 = tanh(p[2])
    c1, dc1 = tanh(p[5])
    c2, dc2 = tanh(p[8])
    of_blue = fma(c2, x[1], fma(c1, x[0], p[6]))
    r_shift, r_numerator, r_denominator, red = limited_logistic(p[0], p[1], x[0])
    g_shift, g_numerator, g_denominator, green = limited_logistic(fma(c0, x[0], p[3]), p[4], x[1])
    b_shift, b_numerator, b_denominator, blue = limited_logistic(of_blue, p[7], x[2])
    inverse = divide(1.0, r_denominator * g_denominator * b_denominator)
    ratio = r_numerator * g_numerator * b_numerator * inverse
    log_p = log_of_normal(ratio) + (r_shift + g_shift + b_shift)
    inverses = (
        inverse * (g_denominator * b_denominator),
        inverse * (r_denominator * b_denominator),
        inverse * (r_denominator * g_denominator),
    )
    return log_p, (red, green, blue, inverses, (dc0, dc1, dc2))


@triton.jit
def rgb_logistic_gradients(kept, x):
    """With respect to the parameters, from what ``rgb_logistic`` kept."""
    red, green, blue, inverses, dc = kept
    red, red_scale = limited_logistic_gradients(red, inverses[0])
    green, green_scale = limited_logistic_gradients(green, inverses[1])
    blue, blue_scale = limited_logistic_gradients(blue, inverses[2])
    return (
        red, red_scale, green * (x[0] * dc[0]),
        green, green_scale, blue * (x[0] * dc[1]),
        blue, blue_scale, blue * (x[1] * dc[2]),
    )  # fmt: skip


@triton.jit
def add_to_log_sum(most, total, a):
    ratio = tl.where(a == -INF, 0.0, exp_of_minus(absolute(a - most)))
    total = tl.where(a > most, fma(total, ratio, 1.0), total + ratio)
    return at_least(most, a), total


@triton.jit
def mixture_value(most, total, weights):
    return most + log(total) - log(weights)
