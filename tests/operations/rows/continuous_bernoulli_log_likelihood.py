"""The continuous Bernoulli likelihood."""

from __future__ import annotations

import math

import mpmath
import torch
from mpmath import mpf
from torch import Tensor, distributions

from operations import forms
from operations.arguments import TARGETS
from operations.case import Argument, Case
from operations.description import Description, Subject, limits
from operations.ends import INF, MAX, NAN, TINY
from operations.exact import HALF, Exact
from operations.operands import LOGITS, Random, data


def continuous_bernoulli(_: str, logit: mpf, x: mpf) -> Exact:
    if logit == 0:
        return [("value", (mpf(0),)), ("logits", (x - HALF,)), ("x", (mpf(0),))]
    normaliser = mpmath.log(mpmath.sinh(logit / 2) / (logit / 2))
    return [
        ("value", ((x - HALF) * logit, -normaliser)),
        ("logits", (x - HALF, 1 / logit - mpmath.coth(logit / 2) / 2)),
        ("x", (logit,)),
    ]


def eager(logits: Tensor, x: Tensor) -> Tensor:
    nearby = logits.abs() < 0.1
    safe = torch.where(nearby, 1.0, logits)
    near = 0.5 * logits + logits.pow(2) / 24
    normaliser = torch.where(nearby, near, torch.log(safe.expm1() / safe))
    return forms.per_datapoint(x * logits - normaliser)


def of_distributions(logits: Tensor, x: Tensor) -> Tensor:
    distribution = distributions.ContinuousBernoulli(logits=logits, validate_args=False)
    return forms.independent(distribution, logits).log_prob(x)


DESCRIPTION = Description(
    cases=tuple(
        Case(
            f"continuous_bernoulli-{target}",
            "continuous_bernoulli_log_likelihood",
            "continuous_bernoulli_log_likelihood",
            (Argument("logits", "logits"), Argument("x", target)),
        )
        for target in TARGETS
    ),
    representative="continuous_bernoulli-float",
    masks={"continuous_bernoulli-float": "full"},
    subject=Subject(
        continuous_bernoulli,
        "continuous_bernoulli_log_likelihood",
        {"logits": "logits", "x": "target"},
        scaled=False,
    ),
    limits=limits(
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
    ),
    operands=(LOGITS, data("x", Random.uniform)),
    eager=eager,
    distributions=of_distributions,
)
