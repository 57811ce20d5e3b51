"""The discretized logistic likelihood of images of 256 levels."""

from __future__ import annotations

import mpmath
import torch
from mpmath import mpf
from torch import Tensor
from torch.nn import functional

from operations import forms
from operations.arguments import SOME_SPREADS, with_parameters
from operations.case import Argument
from operations.description import Description, Subject
from operations.exact import SMALLEST, Exact, held
from operations.operands import Operand, Random, data, scalar

_NAME = "discretized_logistic_log_likelihood"
LOC = Argument("loc", "location")


def discretized_logistic(_: str, x: mpf, loc: mpf, s: mpf) -> Exact:
    half, inverse = mpf(1) / 255, mpmath.exp(-s)
    lower, upper, w = (x - loc - half) * inverse, (x - loc + half) * inverse, 2 * half * inverse
    no_lower, no_upper = x < -0.999, x > 0.999  # bins without that end
    # S(u-), S(-u+), and the derivatives of both with respect to log |u|
    below = mpf(0) if no_lower else 1 / (1 + mpmath.exp(-lower))
    above = mpf(0) if no_upper else 1 / (1 + mpmath.exp(upper))
    moves = (lower * below * (1 - below), upper * above * (1 - above))
    share = mpf(0) if no_lower or no_upper else mpmath.log(-mpmath.expm1(-w))
    pull = mpf(0) if no_lower or no_upper else w / mpmath.expm1(w)
    dpull = pull - pull * w / -mpmath.expm1(-w)
    return [
        ("value", (mpf(0) if no_upper else -mpmath.log1p(mpmath.exp(-upper)),
                   mpf(0) if no_lower else -mpmath.log1p(mpmath.exp(lower)), share,
                   *held((upper * above, lower * below, pull)))),
        ("loc", (below * inverse, -above * inverse,
                 *held([t * inverse for t in (*moves, SMALLEST)]))),
        ("log_scale", (lower * below, -upper * above, -pull,
                       *held((lower * moves[0], upper * moves[1], dpull, upper * SMALLEST)))),
    ]  # fmt: skip


def eager(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    inverse = torch.exp(-log_scale)
    below = functional.logsigmoid((x - loc + 1 / 255) * inverse)
    above = functional.logsigmoid((loc - x + 1 / 255) * inverse)
    inside = below + above + torch.log(-torch.expm1(-2 / 255 * inverse))
    log_p = torch.where(x < -0.999, below, torch.where(x > 0.999, above, inside))
    return forms.per_datapoint(log_p)


DESCRIPTION = Description(
    cases=(
        *with_parameters(
            "discretized_logistic", _NAME, LOC, ["levels"], ["log_scale"], SOME_SPREADS
        ),
    ),
    representative="discretized_logistic-channel-levels",
    masks={"discretized_logistic-channel-levels": "full"},
    subject=Subject(
        discretized_logistic,
        _NAME,
        {"x": "level", "loc": "about", "log_scale": "log_std"},
        scaled=False,
    ),
    operands=(
        Operand("loc", "data", lambda random, shape: random.normal(shape, std=0.5)),
        scalar("log_scale", -1.5),
        data("x", Random.levels),
    ),
    eager=eager,
)
