"""The Bernoulli likelihood of probabilities."""

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
from operations.ends import INF, NAN, TINY
from operations.exact import Exact
from operations.operands import Operand, Random, data

_FAR, _NEXT = math.log(1.401298464e-45), math.log1p(-(2.0**-24))


def bernoulli_probs(_: str, p: mpf, x: mpf) -> Exact:
    log_p, log_q = mpmath.log(p), mpmath.log1p(-p)
    value = x * max(log_p, mpf(-100)) + (1 - x) * max(log_q, mpf(-100))
    dp = (x - p) / max(p * (1 - p), mpf(10) ** -12)
    return [("value", (value,)), ("probs", (dp,)), ("x", (log_p, -log_q))]


def eager(probs: Tensor, x: Tensor) -> Tensor:
    return forms.per_datapoint(x * torch.log(probs) + (1 - x) * torch.log(1 - probs))


def of_functional(probs: Tensor, x: Tensor) -> Tensor:
    nll = functional.binary_cross_entropy(probs, x, reduction="none")
    return -forms.per_datapoint(nll)


def of_distributions(probs: Tensor, x: Tensor) -> Tensor:
    distribution = distributions.Bernoulli(probs, validate_args=False)
    return forms.independent(distribution, probs).log_prob(x)


DESCRIPTION = Description(
    cases=tuple(
        Case(
            f"bernoulli_probs-{target}",
            "bernoulli_probs_log_likelihood",
            "bernoulli_probs_log_likelihood",
            (Argument("probs", "probs"), Argument("x", target)),
        )
        for target in TARGETS
    ),
    representative="bernoulli_probs-float",
    masks={"bernoulli_probs-float": "full"},
    subject=Subject(
        bernoulli_probs,
        "bernoulli_probs_log_likelihood",
        {"probs": "probs", "x": "target"},
        scaled=False,
    ),
    limits=limits(
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
    ),
    operands=(Operand("probs", "data", Random.sigmoid), data("x", Random.uniform)),
    eager=eager,
    functional=of_functional,
    distributions=of_distributions,
)
