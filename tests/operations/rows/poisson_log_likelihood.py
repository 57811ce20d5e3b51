"""The Poisson likelihood."""

from __future__ import annotations

import math

import mpmath
import torch
from mpmath import mpf
from torch import Tensor
from torch.nn import functional

from operations import forms, operands
from operations.case import Argument, Case
from operations.counts import minus_digamma
from operations.description import Description, Subject, limits
from operations.ends import INF, NAN
from operations.exact import Exact, Terms
from operations.operands import Operand, Random, data

_NAME = "poisson_log_likelihood"


def poisson(_: str, log_rate: mpf, x: mpf) -> Exact:
    rate = mpmath.exp(log_rate)
    if x < 1:
        value: Terms = (x * log_rate, -rate, -mpmath.loggamma(x + 1))
    else:
        value = (x * log_rate - rate - mpmath.loggamma(x + 1),)  # never above -0.9
    return [("value", value), ("log_rate", (x, -rate)), ("x", (log_rate, *minus_digamma(x)))]


def eager(log_rate: Tensor, x: Tensor) -> Tensor:
    nll = functional.poisson_nll_loss(log_rate, x, log_input=True, reduction="none")
    return -forms.per_datapoint(nll + torch.lgamma(x + 1))


def _case(label: str, role: str) -> Case:
    return Case(label, _NAME, _NAME, (Argument("log_rate", "log_rate"), Argument("x", role)))


DESCRIPTION = Description(
    cases=(_case("poisson-count", "count"), _case("poisson-uint8", "count_uint8")),
    representative="poisson-count",
    masks={"poisson-count": "shared"},
    subject=Subject(poisson, _NAME, {"log_rate": "count", "x": "count"}, scaled=False),
    limits=limits(
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
    ),
    operands=(Operand("log_rate", "data", operands.normal), data("x", Random.counts)),
    eager=eager,
)
