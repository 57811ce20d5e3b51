"""KL divergence of two Gaussians."""

from __future__ import annotations

import math

import mpmath
from mpmath import mpf
from torch import Tensor, distributions

from operations import forms
from operations.arguments import PRIORS, SCALES, posterior
from operations.description import Description, Subject, limits
from operations.ends import INF, NAN
from operations.exact import Exact, chain_of, log_variance
from operations.operands import POSTERIOR, PRIOR


def gaussian_kl(scale: str, mu: mpf, s: mpf, m: mpf, p: mpf) -> Exact:
    v, w = log_variance(s, scale), log_variance(p, scale)
    u2, dmu = (mu - m) ** 2 * mpmath.exp(-w), (mu - m) * mpmath.exp(-w)
    ratio = mpmath.exp(v - w)
    half_expm1, chain = (ratio - 1) / 2, chain_of(p, scale)
    return [
        ("value", (u2 / 2 + (ratio - 1 - (v - w)) / 2,)),
        ("mu", (dmu,)),
        ("logvar", (half_expm1 * chain_of(s, scale),)),
        ("prior_mu", (-dmu,)),
        ("prior_logvar", (-u2 / 2 * chain, -half_expm1 * chain)),
    ]


def eager(mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor) -> Tensor:
    ratio = (logvar.exp() + (mu - prior_mu).pow(2)) / prior_logvar.exp()
    return 0.5 * forms.per_datapoint(prior_logvar - logvar + ratio - 1)


def of_distributions(mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor) -> Tensor:
    return distributions.kl_divergence(
        forms.normal(mu, logvar), forms.normal(prior_mu, prior_logvar)
    )


DESCRIPTION = Description(
    cases=tuple(
        posterior("gaussian_kl", prior, scale)
        for scale in SCALES
        for prior in PRIORS
        if prior != "none"
    ),
    representative="gaussian_kl-logvar-event",
    masks={"gaussian_kl-std-event": "shared"},
    subject=Subject(
        gaussian_kl,
        "gaussian_kl",
        {"mu": "location", "logvar": "spread", "prior_mu": "location", "prior_logvar": "near"},
    ),
    limits=[
        *limits(  # mu, logvar, prior_mu, prior_logvar
            ((3.0, 2.0, 3.0, 2.0), (0.0, 0.0, 0.0, 0.0, 0.0)),
            ((0.0, 80.0, 0.0, 80.0), (0.0, 0.0, 0.0, 0.0, 0.0)),
            ((0.0, 1e4, 0.0, 1e4), (0.0, 0.0, 0.0, 0.0, 0.0)),
            ((1e-30, -140.0, 0.0, -140.0), (0.5e-60 * math.exp(140.0), None, 0.0, None, None)),
            ((0.0, -INF, 0.0, 0.0), (INF, 0.0, -0.5, 0.0, 0.5)),
            ((0.0, 0.0, 0.0, INF), (INF, 0.0, -0.5, 0.0, 0.5)),
            ((0.0, 0.0, 0.0, -200.0), (INF, 0.0, INF, 0.0, -INF)),
            ((INF, 0.0, 0.0, 0.0), (INF, INF, 0.0, -INF, -INF)),
            ((NAN, 0.0, 0.0, 0.0), (NAN, NAN, 0.0, NAN, NAN)),
            ((0.0, NAN, 0.0, 0.0), (NAN, 0.0, NAN, 0.0, NAN)),
            ((0.0, 0.0, NAN, 0.0), (NAN, NAN, 0.0, NAN, NAN)),
            ((0.0, 0.0, 0.0, NAN), (NAN, NAN, NAN, NAN, NAN)),
        ),
        *limits(
            ((1.0, 0.0, 1.0, 2.0), (INF, 0.0, -INF, 0.0, 0.5)),
            ((0.0, 1e-3, 0.0, 1e4), (math.log(1e7) - 0.5, 0.0, -1e3, 0.0, 1e-4)),
            ((0.0, 1e-12, 0.0, 1e12), (math.log(1e24) - 0.5, 0.0, -1e12, 0.0, 1e-12)),
            ((0.0, 1.0, 0.0, 1e30), (math.log(1e30) - 0.5, 0.0, -1.0, 0.0, 1e-30)),
            ((0.0, 1.0, 0.0, 1e-30), (INF, 0.0, INF, 0.0, -INF)),
            ((0.0, 1.0, 0.0, 0.0), (INF, 0.0, INF, 0.0, -INF)),
            ((1.0, 1.0, 0.0, 0.0), (INF, INF, INF, -INF, -INF)),
            ((0.0, 1e-38, 0.0, 1e-38), (0.0, 0.0, 0.0, 0.0, 0.0)),
            ((0.0, -1.0, 0.0, 1.0), (NAN, 0.0, None, 0.0, None)),
            scale="std",
        ),
    ],
    operands=POSTERIOR + PRIOR,
    eager=eager,
    distributions=of_distributions,
)
