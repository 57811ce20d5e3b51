"""One component of a mixture of discretized logistics over red, green and blue pixels, and the sum
over components; the twin of ``csrc/math/logistic_mixture.h``, where the reasons stand."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern.triton.math.discretized_logistic import (
    decay,
    discretized_logistic_log_likelihood,
    discretized_logistic_log_likelihood_vjp,
)
from vaekern.triton.math.scalar import INF, absolute, at_least, divide, exp_of_minus, fma, log


@triton.jit
def tanh(x):
    """And its derivative."""
    left, gone = decay(2.0 * absolute(x))
    inverse = divide(1.0, left + 1.0)
    value = gone * inverse
    return tl.where(x < 0.0, -value, value), 4.0 * left * (inverse * inverse)


@triton.jit
def log_p(loc, log_scale, x):
    (value,) = discretized_logistic_log_likelihood(loc, at_least(-7.0, log_scale), x, "")
    return value


@triton.jit
def gradients(g, loc, log_scale, x):
    limited = at_least(-7.0, log_scale)
    dloc, ds, _ = discretized_logistic_log_likelihood_vjp(g, loc, limited, x, "")
    return dloc, tl.where(log_scale < -7.0, 0.0, ds)


@triton.jit
def rgb_logistic(p, x):
    c0, _ = tanh(p[2])
    c1, _ = tanh(p[5])
    c2, _ = tanh(p[8])
    green = fma(c0, x[0], p[3])
    blue = fma(c2, x[1], fma(c1, x[0], p[6]))
    return log_p(p[0], p[1], x[0]) + log_p(green, p[4], x[1]) + log_p(blue, p[7], x[2])


@triton.jit
def rgb_logistic_vjp(g, p, x):
    c0, dc0 = tanh(p[2])
    c1, dc1 = tanh(p[5])
    c2, dc2 = tanh(p[8])
    red, red_scale = gradients(g, p[0], p[1], x[0])
    green, green_scale = gradients(g, fma(c0, x[0], p[3]), p[4], x[1])
    of_blue = fma(c2, x[1], fma(c1, x[0], p[6]))
    blue, blue_scale = gradients(g, of_blue, p[7], x[2])
    return (
        red, red_scale, green * (x[0] * dc0),
        green, green_scale, blue * (x[0] * dc1),
        blue, blue_scale, blue * (x[1] * dc2),
    )  # fmt: skip


@triton.jit
def add_to_log_sum(most, total, a):
    ratio = tl.where(a == -INF, 0.0, exp_of_minus(absolute(a - most)))
    total = tl.where(a > most, fma(total, ratio, 1.0), total + ratio)
    return at_least(most, a), total


@triton.jit
def mixture_value(most, total, weights):
    return most + log(total) - log(weights)
