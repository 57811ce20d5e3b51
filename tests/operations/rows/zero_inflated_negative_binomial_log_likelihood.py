"""The zero-inflated negative binomial likelihood."""

from __future__ import annotations

import math

import mpmath
import torch
from mpmath import mpf
from torch import Tensor
from torch.nn import functional

from operations import forms, operands
from operations.arguments import with_parameters
from operations.case import Argument
from operations.counts import Parts
from operations.description import Description, Subject, limits
from operations.ends import INF, NAN
from operations.exact import HALF, Exact
from operations.operands import Operand, Random, data, scalar
from operations.rows.negative_binomial_log_likelihood import eager_elements, negative_binomial

_NAME = "zero_inflated_negative_binomial_log_likelihood"
_E, _LOG2 = math.exp(-80.0), math.log(2.0)


def zero_inflated(_: str, m: mpf, x: mpf, r: mpf, logit: mpf) -> Exact:
    parts = Parts(m, x, r)
    share, rest = 1 / (1 + mpmath.exp(-logit)), 1 / (1 + mpmath.exp(logit))
    if x > 0:
        count = negative_binomial("", m, x, r)
        value = (*count[0][1], mpmath.log(rest))
        return [("value", value), *count[1:], ("zero_logits", (-share,))]
    of_count = parts.value()[0]
    total = share + rest * mpmath.exp(of_count)
    own, y = rest * mpmath.exp(of_count) / total, rest * mpmath.expm1(of_count)
    both = (max(logit, of_count), mpmath.log1p(mpmath.exp(-abs(logit - of_count))))
    # The odds of the two kinds of zero are an exponential, with the error of its exponent's terms.
    exponent = max(1, abs(logit), abs(of_count))
    shared = [
        (name, tuple(own * t for t in terms))
        for name, terms in (
            ("log_mean", parts.dm()),
            ("x", parts.dx()),
            ("log_dispersion", parts.dispersion()),
        )
    ]
    shared += [("zero_logits", (-(1 - own) * y,))]
    return [
        ("value", (mpmath.log(total),) if y > -HALF else (*both, mpmath.log(rest))),
        *[(name, (*terms, exponent * max(map(abs, terms)), -exponent * max(map(abs, terms))))
          for name, terms in shared],
    ]  # fmt: skip


def eager(log_mean: Tensor, log_dispersion: Tensor, zero_logits: Tensor, x: Tensor) -> Tensor:
    count = eager_elements(log_mean, log_dispersion, x)
    added = functional.softplus(count - zero_logits) - functional.softplus(-zero_logits)
    log_p = torch.where(x == 0, added, count - functional.softplus(zero_logits))
    return forms.per_datapoint(log_p)


DESCRIPTION = Description(
    # A zero has a density of its own: no gradient with respect to x is the limit of a difference.
    cases=tuple(
        with_parameters(
            "zero_inflated",
            _NAME,
            Argument("log_mean", "log_rate"),
            ["positive_count"],
            ["log_dispersion", "zero_logits"],
        )
    ),
    representative="zero_inflated-channel-positive_count",
    masks={"zero_inflated-channel-positive_count": "full"},
    subject=Subject(
        zero_inflated,
        _NAME,
        {"log_mean": "count", "x": "count", "log_dispersion": "count", "zero_logits": "count"},
        scaled=False,
    ),
    limits=limits(  # log_mean, x, log_dispersion, zero_logits
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
    ),
    operands=(
        Operand("log_mean", "data", operands.normal),
        scalar("log_dispersion", 1.0),
        scalar("zero_logits", -1.0),
        data("x", Random.counts),
    ),
    eager=eager,
)
