"""Values and gradients of one element, at infinities, NaN, denormals and the ends of float32: for
each operation, written out by hand."""

from __future__ import annotations

import math

import torch

INF, NAN = math.inf, math.nan
TINY, MAX = 1e-45, torch.finfo(torch.float32).max

# arguments, then the value and each argument's gradient
BERNOULLI = (
    ((INF, 1.0), (0.0, 0.0, None)),  # x: infinite, but 0 in the reference
    ((-INF, 0.0), (0.0, 0.0, None)),
    ((INF, 0.0), (-INF, -1.0, INF)),
    ((-INF, 1.0), (-INF, 1.0, -INF)),
    ((INF, 0.5), (-INF, -0.5, INF)),
    ((1e4, 1.0), (0.0, 0.0, 1e4)),
    ((1e4, 0.0), (-1e4, -1.0, 1e4)),
    ((-1e4, 0.0), (0.0, 0.0, -1e4)),
    ((-1e4, 1.0), (-1e4, 1.0, -1e4)),
    ((-20.0, 0.0), (-2.061153620e-9, -2.061153618e-9, -20.0)),
    ((20.0, 1.0), (-2.061153620e-9, 2.061153618e-9, 20.0)),
    ((17.0, 1.0), (-4.139937633e-8, 4.139937547e-8, 17.0)),
    ((0.0, 1.0), (-math.log(2.0), 0.5, 0.0)),
    ((-0.0, 0.0), (-math.log(2.0), -0.5, 0.0)),
    ((TINY, 1.0), (-math.log(2.0), 0.5, None)),
    ((MAX, 0.0), (-MAX, -1.0, MAX)),
    ((NAN, 1.0), (NAN, NAN, NAN)),
    ((1.0, NAN), (NAN, NAN, 1.0)),
)

_FAR, _NEXT = math.log(1.401298464e-45), math.log1p(-(2.0**-24))
BERNOULLI_PROBS = (
    ((0.0, 0.0), (0.0, 0.0, -INF)),
    ((1.0, 1.0), (0.0, 0.0, INF)),
    ((0.0, 1.0), (-100.0, 1e12, -INF)),
    ((1.0, 0.0), (-100.0, -1e12, INF)),
    ((-0.0, 1.0), (-100.0, 1e12, -INF)),
    ((1.0, 0.25), (-75.0, -0.75e12, INF)),
    ((TINY, 1.0), (-100.0, 1e12, _FAR)),
    ((TINY, 0.0), (None, None, _FAR)),
    ((1e-13, 1.0), (math.log(1e-13), 1e12, math.log(1e-13))),
    ((1e-11, 1.0), (math.log(1e-11), 1e11, math.log(1e-11))),
    ((1.0 - 2.0**-24, 0.0), (math.log(2.0**-24), -(2.0**24), 24.0 * math.log(2.0))),
    ((1.0 - 2.0**-24, 1.0), (_NEXT, 1.0 - _NEXT, 24.0 * math.log(2.0))),
    ((0.5, 0.5), (-math.log(2.0), 0.0, 0.0)),
    ((NAN, 0.0), (NAN, NAN, NAN)),
    ((NAN, 1.0), (NAN, NAN, NAN)),
    ((-0.1, 0.0), (NAN, NAN, NAN)),
    ((-0.1, 1.0), (NAN, NAN, NAN)),
    ((1.1, 0.0), (NAN, NAN, NAN)),
    ((1.1, 1.0), (NAN, NAN, NAN)),
    ((INF, 1.0), (NAN, NAN, NAN)),
    ((0.5, NAN), (NAN, NAN, 0.0)),
)

CONTINUOUS_BERNOULLI = (
    ((0.0, 0.3), (0.0, -0.2, 0.0)),
    ((-0.0, 1.0), (0.0, 0.5, 0.0)),
    ((TINY, 1.0), (None, 0.5, None)),
    ((4.0, 0.5), (math.log(2.0 / math.sinh(2.0)), 0.25 - 0.5 / math.tanh(2.0), 4.0)),
    ((-4.0, 0.5), (math.log(2.0 / math.sinh(2.0)), 0.5 / math.tanh(2.0) - 0.25, -4.0)),
    ((20.0, 1.0), (math.log(20.0), 0.05, 20.0)),
    ((1e4, 1.0), (math.log(1e4), 1e-4, 1e4)),
    ((1e4, 0.0), (math.log(1e4) - 1e4, 1e-4 - 1.0, 1e4)),
    ((-1e4, 0.0), (math.log(1e4), -1e-4, -1e4)),
    ((MAX, 1.0), (math.log(MAX), None, MAX)),
    ((INF, 1.0), (INF, 0.0, None)),
    ((-INF, 0.0), (INF, 0.0, None)),
    ((INF, 0.0), (-INF, -1.0, INF)),
    ((INF, 0.5), (-INF, -0.5, INF)),
    ((-INF, 1.0), (-INF, 1.0, -INF)),
    ((NAN, 1.0), (NAN, NAN, NAN)),
    ((1.0, NAN), (NAN, NAN, 1.0)),
)

STANDARD_KL = (
    ((0.0, 0.0), (0.0, 0.0, 0.0)),
    ((-0.0, -0.0), (0.0, 0.0, 0.0)),
    ((0.0, -80.0), (39.5, 0.0, -0.5)),
    ((0.0, 80.0), (0.5 * (math.exp(80.0) - 81.0), 0.0, 0.5 * math.expm1(80.0))),
    ((0.0, 89.0), (0.5 * math.exp(89.0), 0.0, 0.5 * math.exp(89.0))),
    ((0.0, 88.0), (0.5 * math.exp(88.0), 0.0, 0.5 * math.exp(88.0))),
    ((0.0, -88.0), (43.5, 0.0, -0.5)),
    ((0.0, -104.0), (51.5, 0.0, -0.5)),
    ((0.0, -177.0), (88.0, 0.0, -0.5)),
    ((0.0, -1e4), (4999.5, 0.0, -0.5)),
    ((0.0, 104.0), (INF, 0.0, INF)),
    ((0.0, 177.0), (INF, 0.0, INF)),
    ((0.0, 1e4), (INF, 0.0, INF)),
    ((0.0, INF), (INF, 0.0, INF)),
    ((0.0, -INF), (INF, 0.0, -0.5)),
    ((INF, 0.0), (INF, INF, 0.0)),
    ((-INF, 0.0), (INF, -INF, 0.0)),
    ((1e30, 0.0), (INF, 1e30, 0.0)),
    ((TINY, TINY), (0.0, None, None)),
    ((0.0, 1e-20), (None, 0.0, 0.5e-20)),
    ((NAN, 0.0), (NAN, NAN, 0.0)),
    ((0.0, NAN), (NAN, 0.0, NAN)),
)

# scale="std"
STANDARD_KL_STD = (
    ((0.0, 1.0), (0.0, 0.0, 0.0)),
    ((0.0, 0.0), (INF, 0.0, -INF)),
    ((0.0, TINY), (-0.5 - math.log(1.401298464e-45), 0.0, -INF)),
    ((0.0, 1e-38), (-0.5 - math.log(1e-38), 0.0, -1e38)),
    ((0.0, 1e19), (0.5e38, 0.0, 1e19)),
    ((0.0, INF), (INF, 0.0, INF)),
    ((0.0, -1.0), (NAN, 0.0, None)),
    ((0.0, NAN), (NAN, 0.0, NAN)),
)

_C = -0.5 * math.log(2.0 * math.pi)
GAUSSIAN = (  # mean, x, logvar
    ((0.0, 0.0, 0.0), (_C, 0.0, 0.0, -0.5)),
    ((0.0, 0.0, -20.0), (_C + 10.0, 0.0, 0.0, -0.5)),
    ((0.0, 0.0, -90.0), (_C + 45.0, 0.0, 0.0, -0.5)),
    ((0.0, 0.0, -177.0), (_C + 88.5, 0.0, 0.0, -0.5)),
    ((0.0, 0.0, -200.0), (_C + 100.0, 0.0, 0.0, -0.5)),
    ((0.0, 0.0, -INF), (INF, 0.0, 0.0, -0.5)),
    ((0.0, 1e-5, -30.0), (_C + 15.0 - 0.5e-10 * math.exp(30.0), None, None, None)),
    ((0.0, 1e-22, -104.0), (_C + 52.0 - 0.5e-44 * math.exp(104.0), None, None, None)),
    ((0.0, 1e-25, -120.0), (_C + 60.0 - 0.5e-50 * math.exp(120.0), None, None, None)),
    ((0.0, 1e18, 90.0), (_C - 45.0 - 0.5e36 * math.exp(-90.0), None, None, None)),
    ((0.0, 1.0, 1e4), (_C - 5e3, 0.0, 0.0, -0.5)),
    ((0.0, 0.0, INF), (-INF, 0.0, 0.0, -0.5)),
    ((0.0, 1.0, INF), (-INF, 0.0, 0.0, -0.5)),
    ((0.0, INF, 0.0), (-INF, INF, -INF, INF)),
    ((INF, 0.0, 0.0), (-INF, -INF, INF, INF)),
    ((INF, INF, 0.0), (NAN, NAN, NAN, NAN)),
    ((0.0, 1.0, -200.0), (-INF, INF, -INF, INF)),
    ((NAN, 0.0, 0.0), (NAN, NAN, NAN, NAN)),
    ((0.0, NAN, 0.0), (NAN, NAN, NAN, NAN)),
    ((0.0, 0.0, NAN), (NAN, NAN, NAN, NAN)),
)

LAPLACE = (  # loc, x, log_scale
    ((0.0, 0.0, 0.0), (-math.log(2.0), 0.0, 0.0, -1.0)),
    ((0.0, 3.0, 0.0), (-math.log(2.0) - 3.0, 1.0, -1.0, 2.0)),
    ((0.0, 0.0, -200.0), (200.0 - math.log(2.0), 0.0, 0.0, -1.0)),
    ((0.0, 0.0, -INF), (INF, 0.0, 0.0, -1.0)),
    ((0.0, 2.0, -200.0), (-INF, None, None, INF)),
    ((0.0, 1.0, 1e6), (-1e6, None, None, -1.0)),  # 0 but for an inverse that is never 0
    ((0.0, 1.0, INF), (-INF, None, None, -1.0)),
    ((0.0, INF, 0.0), (-INF, 1.0, -1.0, INF)),
    ((INF, 0.0, 0.0), (-INF, -1.0, 1.0, INF)),
    ((INF, INF, 0.0), (NAN, NAN, NAN, NAN)),
    ((NAN, 0.0, 0.0), (NAN, NAN, NAN, NAN)),
    ((0.0, NAN, 0.0), (NAN, NAN, NAN, NAN)),
    ((0.0, 0.0, NAN), (NAN, NAN, NAN, NAN)),
)

_CAUCHY = -math.log(math.pi)
STUDENT_T = (  # loc, x, log_scale, df
    ((0.0, 0.0, 0.0, 1.0), (_CAUCHY, 0.0, 0.0, -1.0, math.log(2.0) - 0.5)),
    ((0.0, 1.0, 0.0, 1.0), (_CAUCHY - math.log(2.0), 1.0, -1.0, 0.0, None)),
    ((0.0, 1e30, 0.0, 1.0), (_CAUCHY - 60.0 * math.log(10.0), 2e-30, -2e-30, 1.0, None)),
    ((0.0, 0.0, -200.0, 1.0), (_CAUCHY + 200.0, 0.0, 0.0, -1.0, None)),
    ((0.0, 1.0, 1e4, 1.0), (_CAUCHY - 1e4, 0.0, 0.0, -1.0, None)),
    ((0.0, 2.0, 0.0, 1e20), (_C - 2.0, 2.0, -2.0, 3.0, None)),
    ((0.0, 2.0, 0.0, INF), (_C - 2.0, 2.0, -2.0, 3.0, None)),
    ((0.0, 0.0, 0.0, 1e-30), (0.5 * math.log(0.25e-30), 0.0, 0.0, -1.0, 0.5e30)),
    ((0.0, INF, 0.0, 1.0), (-INF, 0.0, 0.0, None, None)),
    ((INF, INF, 0.0, 1.0), (NAN, NAN, NAN, NAN, NAN)),
    ((NAN, 0.0, 0.0, 1.0), (NAN, NAN, NAN, NAN, NAN)),
    ((0.0, NAN, 0.0, 1.0), (NAN, NAN, NAN, NAN, NAN)),
    ((0.0, 0.0, NAN, 1.0), (NAN, NAN, NAN, NAN, NAN)),
    ((0.0, 0.0, 0.0, NAN), (NAN, NAN, NAN, None, NAN)),
)

POISSON = (  # log_rate, x
    ((-INF, 0.0), (0.0, 0.0, None)),
    ((-INF, 3.0), (-INF, 3.0, -INF)),
    ((INF, 0.0), (-INF, -INF, None)),
    ((INF, 3.0), (-INF, -INF, None)),
    ((-80.0, 0.0), (-math.exp(-80.0), -math.exp(-80.0), None)),
    ((80.0, 0.0), (-math.exp(80.0), -math.exp(80.0), None)),
    ((80.0, 1.0), (80.0 - math.exp(80.0), 1.0 - math.exp(80.0), None)),
    ((-80.0, 2.0), (-160.0 - math.log(2.0), 2.0, -81.5 + 0.5772156649)),
    ((-85.0, 0.0), (-math.exp(-85.0), -math.exp(-85.0), None)),
    ((0.0, 0.0), (-1.0, -1.0, 0.5772156649)),
    ((0.0, 1.0), (-1.0, 0.0, 0.5772156649 - 1.0)),
    ((math.log(1e30), 1e30), (None, None, None)),
    ((0.0, 1e30), (-1e30 * (math.log(1e30) - 1.0), 1e30, -math.log(1e30))),
    ((0.0, INF), (-INF, None, None)),
    ((0.0, 1e-30), (-1.0, -1.0, 0.5772156649)),
    ((NAN, 0.0), (NAN, NAN, NAN)),
    ((0.0, NAN), (NAN, NAN, NAN)),
)

_E = math.exp(-80.0)
NEGATIVE_BINOMIAL = (  # log_mean, x, log_dispersion
    ((0.0, 0.0, 0.0), (-math.log(2.0), -0.5, None, 0.5 - math.log(2.0))),
    ((0.0, 1.0, 0.0), (-2.0 * math.log(2.0), 0.0, None, None)),
    ((0.0, 2.0, INF), (-1.0 - math.log(2.0), 1.0, None, 0.0)),
    ((0.0, 2.0, 80.0), (-1.0 - math.log(2.0), 1.0, None, None)),
    ((1.0, 0.0, INF), (-math.e, -math.e, None, 0.0)),
    ((1.0, 0.0, 120.0), (-math.e, -math.e, None, 0.0)),
    ((0.0, 0.0, -INF), (0.0, 0.0, None, 0.0)),
    ((0.0, 3.0, -INF), (-INF, 0.0, None, 1.0)),
    ((0.0, 0.0, -80.0), (-80.0 * _E, -_E, None, -79.0 * _E)),
    ((0.0, 3.0, -80.0), (-80.0 - math.log(3.0), 2.0 * _E, None, 1.0)),
    ((0.0, 3.0, -150.0), (-150.0 - math.log(3.0), 0.0, None, 1.0)),
    ((-INF, 0.0, 0.0), (0.0, 0.0, None, 0.0)),
    ((-INF, 2.0, 0.0), (-INF, 2.0, None, None)),
    ((INF, 0.0, 0.0), (-INF, -1.0, None, -INF)),
    ((80.0, 0.0, 0.0), (-80.0, -1.0, None, -79.0)),
    ((80.0, 1.0, 0.0), (-80.0, -1.0, None, None)),
    ((200.0, 1.0, 0.0), (-200.0, -1.0, None, None)),
    ((-200.0, 2.0, 0.0), (-400.0, 2.0, None, None)),
    ((-80.0, 0.0, 80.0), (-_E, -_E, None, None)),
    ((math.log(1e4), 1e4, 80.0), (-0.5 * math.log(2e4 * math.pi) - 1 / 12e4, None, None, None)),
    ((NAN, 0.0, 0.0), (NAN, NAN, NAN, NAN)),
    ((0.0, NAN, 0.0), (NAN, NAN, NAN, NAN)),
    ((0.0, 0.0, NAN), (NAN, NAN, NAN, NAN)),
)

_LOG2 = math.log(2.0)
ZERO_INFLATED = (  # log_mean, x, log_dispersion, zero_logits
    ((0.0, 0.0, 0.0, 0.0), (math.log(0.75), -1 / 6, None, (0.5 - _LOG2) / 3.0, 1 / 6)),
    ((0.0, 1.0, 0.0, 0.0), (-3.0 * _LOG2, 0.0, None, None, -0.5)),
    ((0.0, 0.0, 0.0, INF), (0.0, 0.0, None, 0.0, 0.0)),
    ((0.0, 1.0, 0.0, INF), (-INF, None, None, None, -1.0)),
    ((0.0, 0.0, 0.0, -INF), (-_LOG2, -0.5, None, 0.5 - _LOG2, 0.0)),
    ((0.0, 1.0, 0.0, -INF), (-2.0 * _LOG2, 0.0, None, None, 0.0)),
    ((80.0, 0.0, 5.0, -80.0), (-80.0, None, None, None, 1.0)),
    ((80.0, 0.0, INF, 0.0), (-_LOG2, 0.0, None, 0.0, 0.5)),
    ((0.0, 0.0, 0.0, 80.0), (-0.5 * _E, None, None, None, 0.5 * _E)),
    ((0.0, 0.0, 0.0, NAN), (NAN, NAN, NAN, NAN, NAN)),
    ((NAN, 0.0, 0.0, 0.0), (NAN, NAN, NAN, NAN, NAN)),
    ((0.0, NAN, 0.0, 0.0), (NAN, NAN, NAN, NAN, None)),
)

# mu, std, prior_mu, prior_std
PAIR_KL_STD = (
    ((1.0, 0.0, 1.0, 2.0), (INF, 0.0, -INF, 0.0, None)),
    ((0.0, 1e-3, 0.0, 1e4), (math.log(1e7) - 0.5, 0.0, None, 0.0, None)),
    ((0.0, 1e-12, 0.0, 1e12), (math.log(1e24) - 0.5, 0.0, None, 0.0, None)),
    ((0.0, 1.0, 0.0, 1e30), (math.log(1e30) - 0.5, 0.0, -1.0, 0.0, None)),
    ((0.0, 1.0, 0.0, 1e-30), (INF, 0.0, INF, 0.0, None)),
    ((0.0, 1e-38, 0.0, 1e-38), (0.0, 0.0, 0.0, 0.0, 0.0)),
    ((0.0, -1.0, 0.0, 1.0), (NAN, 0.0, None, 0.0, None)),
)

PAIR_KL = (  # mu, logvar, prior_mu, prior_logvar
    ((3.0, 2.0, 3.0, 2.0), (0.0, 0.0, 0.0, 0.0, 0.0)),
    ((0.0, 80.0, 0.0, 80.0), (0.0, 0.0, 0.0, 0.0, 0.0)),
    ((0.0, 1e4, 0.0, 1e4), (0.0, 0.0, 0.0, 0.0, 0.0)),
    ((1e-30, -140.0, 0.0, -140.0), (0.5e-60 * math.exp(140.0), None, 0.0, None, None)),
    ((0.0, -INF, 0.0, 0.0), (INF, 0.0, -0.5, 0.0, 0.5)),
    ((0.0, 0.0, 0.0, INF), (INF, 0.0, -0.5, 0.0, 0.5)),
    ((0.0, 0.0, 0.0, -200.0), (INF, 0.0, INF, 0.0, -INF)),
    ((INF, 0.0, 0.0, 0.0), (INF, INF, 0.0, -INF, -INF)),
    ((NAN, 0.0, 0.0, 0.0), (NAN, NAN, 0.0, NAN, NAN)),
    ((0.0, NAN, 0.0, 0.0), (NAN, 0.0, NAN, 0.0, NAN)),
    ((0.0, 0.0, NAN, 0.0), (NAN, NAN, 0.0, NAN, NAN)),
    ((0.0, 0.0, 0.0, NAN), (NAN, NAN, NAN, NAN, NAN)),
)

LIMITS = [
    *[("bernoulli_log_likelihood", {}, *row) for row in BERNOULLI],
    *[("bernoulli_probs_log_likelihood", {}, *row) for row in BERNOULLI_PROBS],
    *[("continuous_bernoulli_log_likelihood", {}, *row) for row in CONTINUOUS_BERNOULLI],
    *[("gaussian_kl", {}, *row) for row in STANDARD_KL],
    *[("gaussian_kl", {"scale": "std"}, *row) for row in STANDARD_KL_STD],
    *[("gaussian_log_likelihood", {}, *row) for row in GAUSSIAN],
    *[("laplace_log_likelihood", {}, *row) for row in LAPLACE],
    *[("student_t_log_likelihood", {}, *row) for row in STUDENT_T],
    *[("poisson_log_likelihood", {}, *row) for row in POISSON],
    *[("negative_binomial_log_likelihood", {}, *row) for row in NEGATIVE_BINOMIAL],
    *[("zero_inflated_negative_binomial_log_likelihood", {}, *row) for row in ZERO_INFLATED],
    *[("gaussian_kl", {}, *row) for row in PAIR_KL],
    *[("gaussian_kl", {"scale": "std"}, *row) for row in PAIR_KL_STD],
]
