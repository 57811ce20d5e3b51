"""log p(x | logits) of a continuous Bernoulli; the twin of ``csrc/math/continuous_bernoulli.h``."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.exponential import exp_of_minus
from vaekern._backends.triton.math.logarithm import log
from vaekern._backends.triton.math.scalar import (
    absolute,
    at_most,
    divide,
    fma,
    polynomial,
)


@triton.jit
def centre(square):
    if square.dtype == tl.float64:
        result = polynomial(
            square,
            (1.0 / 24, -0.000347222222222222222, 5.51146384479717813e-6, -1.0333994708994709e-7,
             2.0876756987868099e-9, -4.40349178223957765e-11, 9.55895466477477059e-13,
             -2.11855018520161429e-14, 4.77003447570991365e-16, -1.08743434927903094e-17,
             2.50409219470919523e-19),
        )  # fmt: skip
    else:
        result = polynomial(
            square,
            (0.0416666679, -0.000347226829, 5.51417088e-06, -1.03843263e-07, 2.10555862e-09,
             -3.98085315e-11, 4.58425019e-13),
        )  # fmt: skip
    return result


@triton.jit
def slope(square):
    if square.dtype == tl.float64:
        result = polynomial(
            square,
            (1.0 / 12, -0.00138888888888888889, 3.30687830687830688e-5, -8.2671957671957672e-7,
             2.0876756987868099e-8, -5.28419013868749318e-10, 1.33825365306846788e-11,
             -3.38968029632258287e-13, 8.58606205627784456e-15, -2.17486869855806187e-16,
             5.50900282836022952e-18),
        )  # fmt: skip
    else:
        result = polynomial(
            square,
            (0.0833333358, -0.00138890231, 3.30807234e-05, -8.30589556e-07, 2.14209237e-08,
             -5.55435975e-10, 1.22252581e-11, -1.47751372e-13),
        )  # fmt: skip
    return result


@triton.jit
def continuous_bernoulli_log_likelihood(logit, x, scale: tl.constexpr):
    nearest: tl.constexpr = 1.0 if logit.dtype == tl.float64 else 4.0
    largest: tl.constexpr = (
        1.7976931348623157e308 if logit.dtype == tl.float64 else 3.4028234663852886e38
    )
    m = absolute(logit)
    a = exp_of_minus(m)
    q = tl.where(logit >= 0.0, x - 1.0, x)
    square = logit * logit
    near = fma(x - 0.5, logit, -square * centre(square))
    linear = tl.where(q == 0.0, 0.0, q * logit)
    finite = tl.where(q == 0.0, m, at_most(largest, m))
    far = linear + log(divide(finite, 1.0 - a))
    return (tl.where(m < nearest, near, far),)


@triton.jit
def continuous_bernoulli_log_likelihood_vjp(g, logit, x, scale: tl.constexpr):
    nearest: tl.constexpr = 1.0 if logit.dtype == tl.float64 else 4.0
    m = absolute(logit)
    a = exp_of_minus(m)
    q = tl.where(logit >= 0.0, x - 1.0, x)
    near = fma(-logit, slope(logit * logit), x - 0.5)
    shift = divide(1.0, m) - divide(a, 1.0 - a)
    far = q + tl.where(logit >= 0.0, shift, -shift)
    return g * tl.where(m < nearest, near, far), g * logit
