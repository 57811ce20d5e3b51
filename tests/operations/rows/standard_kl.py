"""KL divergence of a Gaussian to the standard normal."""

from __future__ import annotations

import math

import mpmath
import torch
from mpmath import mpf
from torch import Tensor, distributions

from operations import forms
from operations.arguments import SCALES, posterior
from operations.description import Description, Subject, limits
from operations.ends import INF, NAN, TINY
from operations.exact import Exact, chain_of, log_variance
from operations.operands import POSTERIOR


def standard_kl(scale: str, mu: mpf, s: mpf) -> Exact:
    v = log_variance(s, scale)
    value = mu**2 / 2 + (mpmath.exp(v) - 1 - v) / 2
    return [
        ("value", (value,)),
        ("mu", (mu,)),
        ("logvar", ((mpmath.exp(v) - 1) / 2 * chain_of(s, scale),)),
    ]


def eager(mu: Tensor, logvar: Tensor) -> Tensor:
    return -0.5 * forms.per_datapoint(1 + logvar - mu.pow(2) - logvar.exp())


def of_distributions(mu: Tensor, logvar: Tensor) -> Tensor:
    return distributions.kl_divergence(forms.normal(mu, logvar), forms.standard_normal(mu))


# The first call for a pair of classes searches the registered functions, which the compiler cannot
# trace, and remembers what it found.
of_distributions(torch.zeros(1, 1), torch.zeros(1, 1))


DESCRIPTION = Description(
    cases=tuple(posterior("gaussian_kl", "none", scale) for scale in SCALES),
    representative="gaussian_kl-logvar-none",
    masks={"gaussian_kl-logvar-none": "full"},
    subject=Subject(standard_kl, "gaussian_kl", {"mu": "location", "logvar": "spread"}),
    limits=[
        *limits(
            ((0.0, 0.0), (0.0, 0.0, 0.0)),
            ((-0.0, -0.0), (0.0, 0.0, 0.0)),
            ((0.0, -80.0), (39.5, 0.0, -0.5)),
            ((0.0, 80.0), (0.5 * (math.exp(80.0) - 81.0), 0.0, 0.5 * math.expm1(80.0))),
            ((0.0, 89.0), (0.5 * math.exp(89.0), 0.0, 0.5 * math.exp(89.0))),
            ((0.0, 88.0), (0.5 * math.exp(88.0), 0.0, 0.5 * math.exp(88.0))),
            ((0.0, -88.0), (43.5, 0.0, -0.5)),
            ((0.0, -104.0), (51.5, 0.0, -0.5)),
            ((0.0, -177.0), (88.0, 0.0, -0.5)),
            ((0.0, -1e4), (4999.5, 0.0, -0.5)),
            ((0.0, 104.0), (INF, 0.0, INF)),
            ((0.0, 177.0), (INF, 0.0, INF)),
            ((0.0, 1e4), (INF, 0.0, INF)),
            ((0.0, INF), (INF, 0.0, INF)),
            ((0.0, -INF), (INF, 0.0, -0.5)),
            ((INF, 0.0), (INF, INF, 0.0)),
            ((-INF, 0.0), (INF, -INF, 0.0)),
            ((1e30, 0.0), (INF, 1e30, 0.0)),
            ((TINY, TINY), (0.0, None, None)),
            ((0.0, 1e-20), (None, 0.0, 0.5e-20)),
            ((NAN, 0.0), (NAN, NAN, 0.0)),
            ((0.0, NAN), (NAN, 0.0, NAN)),
        ),
        *limits(
            ((0.0, 1.0), (0.0, 0.0, 0.0)),
            ((0.0, 0.0), (INF, 0.0, -INF)),
            ((0.0, TINY), (-0.5 - math.log(1.401298464e-45), 0.0, -INF)),
            ((0.0, 1e-38), (-0.5 - math.log(1e-38), 0.0, -1e38)),
            ((0.0, 1e19), (0.5e38, 0.0, 1e19)),
            ((0.0, INF), (INF, 0.0, INF)),
            ((0.0, -1.0), (NAN, 0.0, None)),
            ((0.0, NAN), (NAN, 0.0, NAN)),
            scale="std",
        ),
    ],
    operands=POSTERIOR,
    eager=eager,
    distributions=of_distributions,
)
