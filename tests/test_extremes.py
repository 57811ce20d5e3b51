"""Infinities, NaN, denormals and the ends of every format: limits where they exist, NaN where they
do not, from the kernels and from the reference alike."""

from __future__ import annotations

import math

import backends
import pytest
import torch
from cases import CASES, SCALES, UNMASKED, Case, label_of
from compare import leaves
from torch import Tensor

import vaekern as vk

INF, NAN = math.inf, math.nan
TINY, MAX = 1e-45, torch.finfo(torch.float32).max


def value_and_gradients(function: str, *numbers: float, **constants: object) -> list[float]:
    """Of one element: the value, then the gradient of each argument."""
    tensors = [torch.tensor([x], device=backends.device).requires_grad_() for x in numbers]
    value = getattr(vk, function)(*tensors, **constants)
    return [value.item(), *(g.item() for g in torch.autograd.grad(value, tensors))]


def assert_equal(got: list[float], want: tuple[float | None, ...]) -> None:
    """To 1e-5: this is about limits, digits are test_accuracy's. None: not specified."""
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        if b is not None:
            same = (math.isnan(a) and math.isnan(b)) or a == b or math.isclose(a, b, rel_tol=1e-5)
            assert same, f"number {k}: got {a}, want {b}; all: {got}"


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


@pytest.mark.parametrize(
    ("function", "constants", "numbers", "want"),
    LIMITS,
    ids=[f"{row[0]}{''.join(row[1].values())}{row[2]}" for row in LIMITS],
)
def test_limits(
    function: str,
    constants: dict[str, str],
    numbers: tuple[float, ...],
    want: tuple[float | None, ...],
    implementation: str,
) -> None:
    assert_equal(value_and_gradients(function, *numbers, **constants), want)


@pytest.mark.parametrize(
    ("mu", "logvar", "eps", "z"),
    [
        (1.0, -INF, 2.0, 1.0),
        (1.0, -300.0, 2.0, 1.0),
        (0.0, -104.0, 1.0, math.exp(-52.0)),
        (0.0, 177.0, 1.0, math.exp(88.5)),
        (0.0, 200.0, 1.0, INF),
        (0.0, INF, -1.0, -INF),
        (INF, 0.0, 1.0, INF),
        (0.0, 0.0, INF, INF),
        (NAN, 0.0, 1.0, NAN),
        (0.0, NAN, 1.0, NAN),
        (0.0, 0.0, NAN, NAN),
        (TINY, -INF, 0.0, 1.401298464e-45),
    ],
)
def test_samples(mu: float, logvar: float, eps: float, z: float, implementation: str) -> None:
    arguments = [torch.tensor([x], device=backends.device) for x in (mu, logvar, eps)]
    assert_equal([vk.reparameterize(*arguments).item()], (z,))
    sample, _ = vk.sample_with_kl(*arguments[:2], eps=arguments[2])
    assert_equal([sample.item()], (z,))


@pytest.mark.parametrize("case", CASES, ids=label_of)
def test_nan_propagates_from_every_argument(case: Case, implementation: str) -> None:
    """Into its datapoint's value and into no other's, unless a mask leaves it out; into its own
    gradient where the value is not linear in it."""
    for k, argument in enumerate(case.arguments):
        tensors = case.make((3, 4, 5))
        if not tensors[k].is_floating_point():
            continue
        tensors[k].flatten()[0].fill_(NAN)
        reaches = _everywhere(tensors[k], argument.kind, case)
        for mask, other in zip(tensors, case.arguments, strict=True):
            if other.role == "mask":
                reaches = reaches & mask
        results = case(*map(backends.put, tensors))
        for result, kind in zip([r.cpu() for r in results], case.results, strict=True):
            if kind == "element" and argument.name.startswith("prior"):
                assert result.isfinite().all()
                continue
            hit = reaches if kind == "element" else reaches.flatten(1).any(1)
            if kind == "datapoint" and argument.role == "eps":
                hit = torch.zeros_like(hit)
            assert torch.equal(result.isnan(), hit), argument.name


def _everywhere(tensor: Tensor, kind: str, case: Case) -> Tensor:
    if kind == "channel":
        tensor = tensor[:, None]
    if kind == "classes":
        return tensor.isnan().any(-1)
    return tensor.isnan().expand(3, 4, 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_ends_of_half_precision(dtype: torch.dtype, implementation: str) -> None:
    """Stored results overflow to infinity, subnormals are kept, losses do not overflow."""
    end = torch.finfo(dtype)
    mu = torch.tensor([end.max, end.max, end.smallest_normal / 4, -end.max])
    log_std = torch.tensor([0.0, math.log(end.max), -INF, math.log(end.max)])
    eps = torch.tensor([0.0, 2.0, 0.0, -2.0])
    mu, log_std, eps = (t.to(backends.device, dtype) for t in (mu, log_std, eps))
    z = vk.reparameterize(mu, log_std, eps, scale="log_std")
    assert z.tolist() == [end.max, INF, end.smallest_normal / 4, -INF]
    logits = torch.full((1, 1000), min(end.max, 1e4), dtype=dtype, device=backends.device)
    assert vk.bernoulli_log_likelihood(logits, torch.zeros_like(logits)).item() == pytest.approx(
        -1000.0 * logits[0, 0].item(), rel=1e-6
    )


@pytest.mark.parametrize("size", [0.0, -1.0, 1e-30, 1e30, INF, NAN])
@pytest.mark.parametrize(
    "case", [case for case in UNMASKED if not case.constants.get("coefficient")], ids=label_of
)
def test_upstream_gradients_of_any_size(case: Case, size: float) -> None:
    """A gradient is g times the derivative, also where that is zero, infinite or NaN. (Of one
    result; only arguments that are not shared, whose gradient is one such product, and no
    multinomial coefficient, whose gradient is added to another.)"""
    tensors = case.make((2, 3))
    for k in range(len(case.results)):
        found = []
        for g in (1.0, size):
            inputs = leaves(tensors)
            wanted = [
                t for t, a in zip(inputs, case.arguments, strict=True)
                if t.requires_grad and a.is_full
            ]  # fmt: skip
            result = case(*inputs)[k]
            found.append(
                torch.autograd.grad(result, wanted, torch.full_like(result, g), allow_unused=True)
            )
        for unit, got in zip(*found, strict=True):
            if unit is not None and unit.any():  # else: this result does not depend on it
                torch.testing.assert_close(got, size * unit, rtol=1e-6, atol=0.0, equal_nan=True)


GRID = (0.0, -0.0, 1.0, -1.0, 1e-3, TINY, -TINY, 88.0, -88.0, 104.0, -177.0, 1e4, -1e4, 1e30,
        INF, -INF, NAN)  # fmt: skip


def _inverse_is_held(tensors: list[Tensor], spread: int, n: int, scale: str) -> Tensor:
    """Where 1 / std of the last spread fits float32, or the distance it scales is not tiny."""
    if n == 2:
        return torch.ones_like(tensors[0], dtype=torch.bool)
    least = {"logvar": -176.0, "log_std": -88.0, "std": 1e-37}[scale]
    other = tensors[1] if n == 3 else tensors[2]
    distance = (tensors[0] - other).abs()
    return ~((tensors[spread] < least) & (distance > 0) & (distance < 1e-30))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
    ("function", "spreads", "n"),
    [("gaussian_kl", (1,), 2), ("gaussian_log_likelihood", (2,), 3), ("gaussian_kl", (1, 3), 4)],
)
def test_every_combination_of_extremes(
    function: str, spreads: tuple[int, ...], n: int, scale: str
) -> None:
    """Kernels in float32 against the reference in float64, where little overflows. A result
    beyond float32 is infinite; beyond half of it it may be: a square overflows before its half."""
    deviations = [abs(x) for x in GRID if x == 0.0 or not abs(x) < 1e-38]  # with an inverse
    own = [deviations if scale == "std" and k in spreads else GRID for k in range(n)]
    tensors = [t.flatten() for t in torch.meshgrid(*map(torch.tensor, own), indexing="ij")]
    # Where 1 / std is beyond float32 its end is taken, which tiny distances show.
    tensors = [t[_inverse_is_held(tensors, spreads[-1], n, scale)] for t in tensors]
    got = getattr(vk, function)(*tensors, scale=scale)
    want = getattr(vk.reference, function)(*[t.double() for t in tensors], scale=scale).float()
    want = torch.where((want.abs() > 0.5 * MAX) & (got.abs() == INF), INF * want, want)
    wrong = ~torch.isclose(got, want, rtol=1e-5, atol=1e-5, equal_nan=True)
    first = [
        f"{tuple(t[k].item() for t in tensors)}: got {got[k]}, want {want[k]}"
        for k in wrong.nonzero().flatten()[:5]
    ]
    assert not wrong.any(), f"{int(wrong.sum())} of {wrong.numel()} differ: {first}"
