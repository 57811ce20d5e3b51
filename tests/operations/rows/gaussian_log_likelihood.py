"""The Gaussian likelihood."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import mpmath
import torch
from mpmath import mpf
from torch import Tensor
from torch.nn import functional

from operations import forms, operands
from operations.arguments import LIKELIHOOD_SPREADS, NUMBERS, SCALES, TARGETS, signed_bytes
from operations.case import Argument, Case
from operations.description import Description, Subject, limits
from operations.ends import INF, NAN
from operations.exact import HALF, LOG_2PI, Exact, chain_of, log_variance
from operations.operands import Operand, data, scalar

_NAME = "gaussian_log_likelihood"
_C = -0.5 * math.log(2.0 * math.pi)
_LOG_2PI = math.log(2.0 * math.pi)


def gaussian(scale: str, mean: mpf, x: mpf, s: mpf) -> Exact:
    v, chain = log_variance(s, scale), chain_of(s, scale)
    u2 = (x - mean) ** 2 * mpmath.exp(-v)
    dmean = (x - mean) * mpmath.exp(-v)
    return [
        ("value", (-u2 / 2, -v / 2, -LOG_2PI / 2)),
        ("mean", (dmean,)),
        ("x", (-dmean,)),
        ("logvar", (u2 * HALF * chain, -HALF * chain)),
    ]


def eager(mean: Tensor, logvar: Tensor, x: Tensor) -> Tensor:
    nll = (x - mean).pow(2) / torch.exp(logvar) + logvar + _LOG_2PI
    return -0.5 * forms.per_datapoint(nll)


def of_functional(mean: Tensor, logvar: Tensor, x: Tensor) -> Tensor:
    variance = torch.exp(logvar).expand_as(mean)
    nll = functional.gaussian_nll_loss(mean, x, variance, full=True, reduction="none")
    return -forms.per_datapoint(nll)


def of_distributions(mean: Tensor, logvar: Tensor, x: Tensor) -> Tensor:
    return forms.normal(mean, logvar).log_prob(x)


def _cases() -> Iterator[Case]:
    mean = Argument("mean", "location")
    for scale in SCALES:
        for kind in LIKELIHOOD_SPREADS:
            for target in TARGETS:
                arguments = [mean, Argument("x", target)]
                constants: dict[str, Any] = {"scale": scale}
                if kind == "number":
                    constants["logvar"] = NUMBERS[scale]
                else:
                    arguments.append(Argument("logvar", scale, kind))
                label = f"gaussian-{scale}-{kind}-{target}"
                yield Case(label, _NAME, _NAME, tuple(arguments), constants)
    yield signed_bytes(mean, _NAME, "logvar", scale="logvar")


DESCRIPTION = Description(
    cases=tuple(_cases()),
    representative="gaussian-logvar-channel-float",
    masks={"gaussian-logvar-channel-float": "full", "gaussian-log_std-middle-float": "batch"},
    subject=Subject(gaussian, _NAME, {"mean": "location", "x": "around", "logvar": "spread"}),
    limits=[
        *limits(  # mean, x, logvar
            ((0.0, 0.0, 0.0), (_C, 0.0, 0.0, -0.5)),
            ((0.0, 0.0, -20.0), (_C + 10.0, 0.0, 0.0, -0.5)),
            ((0.0, 0.0, -90.0), (_C + 45.0, 0.0, 0.0, -0.5)),
            ((0.0, 0.0, -177.0), (_C + 88.5, 0.0, 0.0, -0.5)),
            ((0.0, 0.0, -200.0), (_C + 100.0, 0.0, 0.0, -0.5)),
            ((0.0, 0.0, -INF), (INF, 0.0, 0.0, -0.5)),
            ((0.0, 1.0, -INF), (-INF, INF, -INF, INF)),
            ((1.0, -1e-3, -INF), (-INF, -INF, INF, INF)),
            ((0.0, INF, -INF), (-INF, INF, -INF, INF)),
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
        ),
        *limits(
            ((0.0, 0.0, -INF), (INF, 0.0, 0.0, -1.0)),
            ((1.0, -1e-3, -INF), (-INF, -INF, INF, INF)),
            ((0.0, 1e-3, -100.0), (-INF, INF, -INF, INF)),
            scale="log_std",
        ),
        *limits(
            ((0.0, 0.0, 0.0), (INF, 0.0, 0.0, -INF)),
            ((1.0, -1e-3, 0.0), (-INF, -INF, INF, INF)),
            ((0.0, 1e-3, 1e-40), (-INF, INF, -INF, INF)),
            ((0.0, 0.0, INF), (-INF, 0.0, 0.0, 0.0)),
            ((0.0, 1.0, INF), (-INF, 0.0, 0.0, 0.0)),
            ((0.0, 1.0, -1.0), (NAN, None, None, None)),
            scale="std",
        ),
    ],
    # x is no sample of the model, or the derivative of the shared logvar would be a difference of
    # two nearly equal sums, which no provider in bfloat16 gets right.
    operands=(
        Operand("mean", "data", operands.normal),
        scalar("logvar", -1.0),
        data("x", operands.normal),
    ),
    eager=eager,
    functional=of_functional,
    distributions=of_distributions,
)
