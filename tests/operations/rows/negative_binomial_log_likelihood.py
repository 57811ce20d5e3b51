"""The negative binomial likelihood."""

from __future__ import annotations

import math

import torch
from mpmath import mpf
from torch import Tensor

from operations import forms, operands
from operations.arguments import with_parameters
from operations.case import Argument
from operations.counts import Parts
from operations.description import Description, Subject, limits
from operations.ends import INF, NAN
from operations.exact import Exact
from operations.operands import Operand, Random, data, scalar

_NAME = "negative_binomial_log_likelihood"
_E = math.exp(-80.0)


def negative_binomial(_: str, m: mpf, x: mpf, r: mpf) -> Exact:
    parts = Parts(m, x, r)
    return [
        ("value", parts.value()),
        ("log_mean", parts.dm()),
        ("x", parts.dx()),
        ("log_dispersion", parts.dispersion()),
    ]


def eager_elements(log_mean: Tensor, log_dispersion: Tensor, x: Tensor) -> Tensor:
    theta, mu = log_dispersion.exp(), log_mean.exp()
    log_both = torch.log(theta + mu)
    exponents = theta * (log_dispersion - log_both) + x * (log_mean - log_both)
    return exponents + torch.lgamma(x + theta) - torch.lgamma(theta) - torch.lgamma(x + 1)


def eager(log_mean: Tensor, log_dispersion: Tensor, x: Tensor) -> Tensor:
    return forms.per_datapoint(eager_elements(log_mean, log_dispersion, x))


DESCRIPTION = Description(
    cases=tuple(
        with_parameters(
            "negative_binomial",
            _NAME,
            Argument("log_mean", "log_rate"),
            ["count"],
            ["log_dispersion"],
        )
    ),
    representative="negative_binomial-channel-count",
    masks={"negative_binomial-channel-count": "full"},
    subject=Subject(
        negative_binomial,
        _NAME,
        {"log_mean": "count", "x": "count", "log_dispersion": "count"},
        scaled=False,
    ),
    limits=limits(  # log_mean, x, log_dispersion
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
    ),
    operands=(
        Operand("log_mean", "data", operands.normal),
        scalar("log_dispersion", 1.0),
        data("x", Random.counts),
    ),
    eager=eager,
)
