"""The Bernoulli likelihood of logits."""

from __future__ import annotations

import math

import mpmath
import torch
from mpmath import mpf
from torch import Tensor, distributions
from torch.nn import functional

from operations import forms
from operations.arguments import TARGETS
from operations.case import Argument, Case
from operations.description import Description, Subject, limits
from operations.ends import INF, MAX, NAN, TINY
from operations.exact import Exact
from operations.operands import LOGITS, Random, data


def bernoulli(_: str, logit: mpf, x: mpf) -> Exact:
    a = mpmath.exp(-abs(logit))
    weight = 1 - x if logit >= 0 else x
    share = 1 / (1 + a)
    d = (x * a * share, -(1 - x) * share) if logit >= 0 else (x * share, -(1 - x) * a * share)
    return [("value", (-weight * abs(logit) - mpmath.log1p(a),)), ("logits", d), ("x", (logit,))]


def eager(logits: Tensor, x: Tensor) -> Tensor:
    nll = functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return -forms.per_datapoint(nll)


def of_functional(logits: Tensor, x: Tensor) -> Tensor:
    nll = functional.binary_cross_entropy(torch.sigmoid(logits), x, reduction="none")
    return -forms.per_datapoint(nll)


def of_distributions(logits: Tensor, x: Tensor) -> Tensor:
    distribution = distributions.Bernoulli(logits=logits, validate_args=False)
    return forms.independent(distribution, logits).log_prob(x)


DESCRIPTION = Description(
    cases=tuple(
        Case(
            f"bernoulli-{target}",
            "bernoulli_log_likelihood",
            "bernoulli_log_likelihood",
            (Argument("logits", "logits"), Argument("x", target)),
        )
        for target in TARGETS
    ),
    representative="bernoulli-float",
    masks={"bernoulli-float": "shared", "bernoulli-uint8": "full"},
    subject=Subject(
        bernoulli, "bernoulli_log_likelihood", {"logits": "logits", "x": "target"}, scaled=False
    ),
    limits=limits(
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
    ),
    operands=(LOGITS, data("x", Random.uniform)),
    eager=eager,
    functional=of_functional,
    distributions=of_distributions,
)
