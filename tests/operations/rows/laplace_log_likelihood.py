"""The Laplace likelihood."""

from __future__ import annotations

import math

import mpmath
import torch
from mpmath import mpf
from torch import Tensor, distributions

from operations import forms, operands
from operations.arguments import LIKELIHOOD_SPREADS, TARGETS, signed_bytes, with_parameters
from operations.case import Argument
from operations.description import Description, Subject, limits
from operations.ends import INF, NAN
from operations.exact import Exact
from operations.operands import Operand, data, scalar

_NAME = "laplace_log_likelihood"
LOC = Argument("loc", "location")


def laplace(_: str, loc: mpf, x: mpf, s: mpf) -> Exact:
    u, dloc = abs(x - loc) * mpmath.exp(-s), mpmath.sign(x - loc) * mpmath.exp(-s)
    return [
        ("value", (-u, -s, -mpmath.log(2))),
        ("loc", (dloc,)),
        ("x", (-dloc,)),
        ("log_scale", (u, mpf(-1))),
    ]


def eager(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    log_p = -(x - loc).abs() * torch.exp(-log_scale) - log_scale - math.log(2.0)
    return forms.per_datapoint(log_p)


def of_distributions(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    distribution = distributions.Laplace(loc, torch.exp(log_scale), validate_args=False)
    return forms.independent(distribution, loc).log_prob(x)


DESCRIPTION = Description(
    cases=(
        *with_parameters("laplace", _NAME, LOC, TARGETS, ["log_scale"], LIKELIHOOD_SPREADS),
        signed_bytes(LOC, _NAME, "log_scale"),
    ),
    representative="laplace-channel-float",
    masks={"laplace-batch-float": "shared"},
    subject=Subject(
        laplace, _NAME, {"loc": "location", "x": "around", "log_scale": "log_std"}, scaled=False
    ),
    limits=limits(  # loc, x, log_scale
        ((0.0, 0.0, 0.0), (-math.log(2.0), 0.0, 0.0, -1.0)),
        ((0.0, 3.0, 0.0), (-math.log(2.0) - 3.0, 1.0, -1.0, 2.0)),
        ((0.0, 0.0, -200.0), (200.0 - math.log(2.0), 0.0, 0.0, -1.0)),
        ((0.0, 0.0, -INF), (INF, 0.0, 0.0, -1.0)),
        ((0.0, 2.0, -200.0), (-INF, INF, -INF, INF)),
        ((0.0, 1e-3, -200.0), (-INF, INF, -INF, INF)),
        ((1.0, -1.0, -INF), (-INF, -INF, INF, INF)),
        ((0.0, 1e-3, -INF), (-INF, INF, -INF, INF)),
        ((0.0, INF, -INF), (-INF, INF, -INF, INF)),
        ((0.0, 1.0, 1e6), (-1e6, None, None, -1.0)),  # 0 but for an inverse that is never 0
        ((0.0, 1.0, INF), (-INF, None, None, -1.0)),
        ((0.0, INF, 0.0), (-INF, 1.0, -1.0, INF)),
        ((INF, 0.0, 0.0), (-INF, -1.0, 1.0, INF)),
        ((INF, INF, 0.0), (NAN, NAN, NAN, NAN)),
        ((NAN, 0.0, 0.0), (NAN, NAN, NAN, NAN)),
        ((0.0, NAN, 0.0), (NAN, NAN, NAN, NAN)),
        ((0.0, 0.0, NAN), (NAN, NAN, NAN, NAN)),
    ),
    operands=(
        Operand("loc", "data", operands.normal),
        scalar("log_scale", -0.5),
        data("x", operands.normal),
    ),
    eager=eager,
    distributions=of_distributions,
)
