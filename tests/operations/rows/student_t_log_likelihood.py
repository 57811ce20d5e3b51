"""Student's t likelihood."""

from __future__ import annotations

import math

import mpmath
import torch
from mpmath import mpf
from torch import Tensor, distributions

from operations import forms, operands
from operations.arguments import NUMBERS, SOME_SPREADS, TARGETS, signed_bytes, with_parameters
from operations.case import Argument
from operations.description import Description, Subject, limits
from operations.ends import INF, NAN
from operations.exact import Exact
from operations.operands import Operand, data, scalar

_NAME = "student_t_log_likelihood"
LOC = Argument("loc", "location")
_C = -0.5 * math.log(2.0 * math.pi)
_CAUCHY = -math.log(math.pi)
_LOG_4, _LOG_1E30 = math.log(4.0), 30.0 * math.log(10.0)


def student_t(_: str, loc: mpf, x: mpf, s: mpf, df: mpf) -> Exact:
    u = (x - loc) * mpmath.exp(-s)
    w = u**2 / df
    share, more = w / (1 + w), df + 1
    half_step = mpmath.loggamma(more / 2) - mpmath.loggamma(df / 2)
    dhalf_step = mpmath.digamma(more / 2) - mpmath.digamma(df / 2) - 1 / df
    dloc = more * u / (df + u**2) * mpmath.exp(-s)
    return [
        ("value", (half_step - mpmath.log(mpmath.pi * df) / 2, -s, -more / 2 * mpmath.log1p(w))),
        ("loc", (dloc,)),
        ("x", (-dloc,)),
        ("log_scale", (more * share, mpf(-1))),
        ("df", (dhalf_step / 2, -(mpmath.log1p(w) - share) / 2, share / df / 2)),
    ]


def eager(loc: Tensor, log_scale: Tensor, df: Tensor, x: Tensor) -> Tensor:
    u = (x - loc) * torch.exp(-log_scale)
    normaliser = (
        torch.lgamma(0.5 * (df + 1)) - torch.lgamma(0.5 * df) - 0.5 * torch.log(math.pi * df)
    )
    log_p = normaliser - log_scale - 0.5 * (df + 1) * torch.log1p(u.pow(2) / df)
    return forms.per_datapoint(log_p)


def of_distributions(loc: Tensor, log_scale: Tensor, df: Tensor, x: Tensor) -> Tensor:
    distribution = distributions.StudentT(df, loc, torch.exp(log_scale), validate_args=False)
    return forms.independent(distribution, loc).log_prob(x)


DESCRIPTION = Description(
    cases=(
        *with_parameters("student_t", _NAME, LOC, TARGETS, ["log_scale", "df"], SOME_SPREADS),
        signed_bytes(LOC, _NAME, "log_scale", df=NUMBERS["df"]),
    ),
    representative="student_t-channel-float",
    masks={"student_t-scalar-float": "full"},
    subject=Subject(
        student_t,
        _NAME,
        {"loc": "location", "x": "around", "log_scale": "log_std", "df": "df"},
        scaled=False,
    ),
    limits=limits(  # loc, x, log_scale, df
        ((0.0, 0.0, 0.0, 1.0), (_CAUCHY, 0.0, 0.0, -1.0, math.log(2.0) - 0.5)),
        ((0.0, 1.0, 0.0, 1.0), (_CAUCHY - math.log(2.0), 1.0, -1.0, 0.0, None)),
        ((0.0, 1e30, 0.0, 1.0), (_CAUCHY - 60.0 * math.log(10.0), 2e-30, -2e-30, 1.0, None)),
        ((0.0, 0.0, -200.0, 1.0), (_CAUCHY + 200.0, 0.0, 0.0, -1.0, None)),
        ((0.0, 0.0, -INF, 1.0), (INF, 0.0, 0.0, -1.0, None)),
        ((0.0, 1.0, -89.0, 1.0), (_CAUCHY - 89.0, 2.0, -2.0, 1.0, None)),
        ((1.0, -1.0, -200.0, 1.0), (_CAUCHY - 200.0 - _LOG_4, -1.0, 1.0, 1.0, None)),
        ((0.0, 1e15, -80.0, 1.0), (_CAUCHY - 80.0 - _LOG_1E30, 2e-15, -2e-15, 1.0, None)),
        ((0.0, 2.0, -INF, 1.0), (-INF, 1.0, -1.0, 1.0, None)),
        ((0.0, -1e-3, -INF, 3.0), (-INF, -4e3, 4e3, 3.0, -INF)),
        ((0.0, INF, -INF, 1.0), (-INF, 0.0, 0.0, 1.0, -INF)),
        ((0.0, 0.0, INF, 1.0), (-INF, 0.0, 0.0, -1.0, None)),
        ((0.0, 1.0, INF, 1.0), (-INF, 0.0, 0.0, -1.0, None)),
        ((0.0, 1.0, 1e4, 1.0), (_CAUCHY - 1e4, 0.0, 0.0, -1.0, None)),
        ((0.0, 2.0, 0.0, 1e20), (_C - 2.0, 2.0, -2.0, 3.0, None)),
        ((0.0, 2.0, 0.0, INF), (_C - 2.0, 2.0, -2.0, 3.0, None)),
        ((0.0, 1e-12, 0.0, INF), (_C, 1e-12, -1e-12, -1.0, None)),
        ((0.0, 0.0, 0.0, 1e-30), (0.5 * math.log(0.25e-30), 0.0, 0.0, -1.0, 0.5e30)),
        ((0.0, INF, 0.0, 1.0), (-INF, 0.0, 0.0, 1.0, -INF)),
        ((INF, INF, 0.0, 1.0), (NAN, NAN, NAN, NAN, NAN)),
        ((NAN, 0.0, 0.0, 1.0), (NAN, NAN, NAN, NAN, NAN)),
        ((0.0, NAN, 0.0, 1.0), (NAN, NAN, NAN, NAN, NAN)),
        ((0.0, 0.0, NAN, 1.0), (NAN, NAN, NAN, NAN, NAN)),
        ((0.0, 0.0, 0.0, NAN), (NAN, NAN, NAN, None, NAN)),
    ),
    operands=(
        Operand("loc", "data", operands.normal),
        scalar("log_scale", -0.5),
        scalar("df", 4.0),
        data("x", operands.normal),
    ),
    eager=eager,
    distributions=of_distributions,
)
