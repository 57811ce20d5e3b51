"""Samples of a Gaussian."""

from __future__ import annotations

import mpmath
from mpmath import mpf
from torch import Tensor

from operations import forms
from operations.arguments import NOISE, SCALES
from operations.case import Argument, Case
from operations.description import Description, Subject
from operations.exact import Exact, chain_of, log_variance
from operations.operands import POSTERIOR

_NAME = "reparameterize"


def reparameterize(scale: str, mu: mpf, s: mpf, eps: mpf) -> Exact:
    std = mpmath.exp(log_variance(s, scale) / 2)
    return [
        ("z", (mu, std * eps)),
        ("mu", (mpf(1),)),
        ("logvar", (std * eps / 2 * chain_of(s, scale),)),
        ("eps", (std,)),
    ]


def of_distributions(mu: Tensor, logvar: Tensor) -> Tensor:
    return forms.normal(mu, logvar).rsample()


def _case(scale: str, noise: str) -> Case:
    arguments = Argument("mu", "location"), Argument("logvar", scale), Argument(noise, noise)
    return Case(f"{_NAME}-{scale}-{noise}", _NAME, _NAME, arguments, {"scale": scale})


DESCRIPTION = Description(
    cases=tuple(_case(scale, noise) for scale in SCALES for noise in NOISE),
    representative="reparameterize-logvar-seed",
    subject=Subject(
        reparameterize, _NAME, {"mu": "location", "logvar": "spread", "eps": "location"}
    ),
    operands=POSTERIOR,
    eager=forms.sample,
    distributions=of_distributions,
)
