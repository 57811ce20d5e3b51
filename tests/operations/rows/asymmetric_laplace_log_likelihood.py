"""The asymmetric Laplace likelihood."""

from __future__ import annotations

import math

import mpmath
import torch
from mpmath import mpf
from torch import Tensor

from operations import forms, operands
from operations.arguments import LIKELIHOOD_SPREADS, TARGETS, signed_bytes, with_parameters
from operations.case import Argument
from operations.description import Description, Subject, limits
from operations.ends import INF, NAN
from operations.exact import Exact
from operations.operands import Operand, data, scalar

_NAME = "asymmetric_laplace_log_likelihood"
LOC = Argument("loc", "location")
#: Of all cases but one: asymmetric, and no number of float32.
QUANTILE = 0.9


def asymmetric_laplace(_: str, loc: mpf, x: mpf, s: mpf) -> Exact:
    tau = mpf(QUANTILE)
    u = (x - loc) * mpmath.exp(-s)
    slope = tau - 1 if u < 0 else tau
    dloc = mpmath.sign(u) * abs(slope) * mpmath.exp(-s)
    return [
        ("value", (-slope * u, -s, mpmath.log(tau * (1 - tau)))),
        ("loc", (dloc,)),
        ("x", (-dloc,)),
        ("log_scale", (slope * u, mpf(-1))),
    ]


def eager(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    u = (x - loc) * torch.exp(-log_scale)
    pinball = torch.maximum(QUANTILE * u, (QUANTILE - 1.0) * u)
    return forms.per_datapoint(math.log(QUANTILE * (1.0 - QUANTILE)) - log_scale - pinball)


_LOG_WEIGHT = math.log(0.09)
DESCRIPTION = Description(
    cases=tuple(
        [
            *with_parameters(
                "asymmetric_laplace", _NAME, LOC, TARGETS, ["log_scale"], LIKELIHOOD_SPREADS,
                quantile=QUANTILE,
            ),
            signed_bytes(LOC, _NAME, "log_scale", quantile=0.3),
        ]
    ),
    representative="asymmetric_laplace-channel-float",
    masks={"asymmetric_laplace-batch-float": "shared"},
    subject=Subject(
        asymmetric_laplace,
        _NAME,
        {"loc": "location", "x": "around", "log_scale": "log_std"},
        scaled=False,
        constants={"quantile": QUANTILE},
    ),
    limits=limits(  # loc, x, log_scale
        ((0.0, 0.0, 0.0), (_LOG_WEIGHT, 0.0, 0.0, -1.0)),
        ((0.0, 3.0, 0.0), (_LOG_WEIGHT - 2.7, 0.9, -0.9, 1.7)),
        ((0.0, -3.0, 0.0), (_LOG_WEIGHT - 0.3, -0.1, 0.1, -0.7)),
        ((0.0, 0.0, -200.0), (_LOG_WEIGHT + 200.0, 0.0, 0.0, -1.0)),
        ((0.0, 0.0, -INF), (INF, 0.0, 0.0, -1.0)),
        ((0.0, 2.0, -200.0), (-INF, INF, -INF, INF)),
        ((0.0, 1e-3, -200.0), (-INF, INF, -INF, INF)),
        ((1.0, -1.0, -INF), (-INF, -INF, INF, INF)),
        ((0.0, 1e-3, -INF), (-INF, INF, -INF, INF)),
        ((0.0, INF, -INF), (-INF, INF, -INF, INF)),
        ((0.0, 1.0, INF), (-INF, None, None, -1.0)),
        ((0.0, INF, 0.0), (-INF, 0.9, -0.9, INF)),
        ((INF, 0.0, 0.0), (-INF, -0.1, 0.1, INF)),
        ((INF, INF, 0.0), (NAN, NAN, NAN, NAN)),
        ((NAN, 0.0, 0.0), (NAN, NAN, NAN, NAN)),
        ((0.0, NAN, 0.0), (NAN, NAN, NAN, NAN)),
        ((0.0, 0.0, NAN), (NAN, NAN, NAN, NAN)),
        quantile=QUANTILE,
    ),
    operands=(
        Operand("loc", "data", operands.normal),
        scalar("log_scale", -0.5),
        data("x", operands.normal),
    ),
    constants={"quantile": QUANTILE},
    eager=eager,
)  # fmt: skip
