"""Samples of a Gaussian and its KL divergence to another."""

from __future__ import annotations

from mpmath import mpf
from torch import Tensor, distributions

from operations import forms
from operations.arguments import NOISE, PRIORS, SCALES, posterior
from operations.description import Description, Subject
from operations.exact import Exact, together
from operations.operands import POSTERIOR, PRIOR
from operations.rows import gaussian_kl as kl
from operations.rows.gaussian_kl import gaussian_kl
from operations.rows.reparameterize import reparameterize


def sample_with_gaussian_kl(scale: str, mu: mpf, s: mpf, m: mpf, p: mpf, eps: mpf) -> Exact:
    return together(reparameterize(scale, mu, s, eps), gaussian_kl(scale, mu, s, m, p))


def eager(
    mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor
) -> tuple[Tensor, Tensor]:
    return forms.sample(mu, logvar), kl.eager(mu, logvar, prior_mu, prior_logvar)


def of_distributions(
    mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor
) -> tuple[Tensor, Tensor]:
    q = forms.normal(mu, logvar)
    return q.rsample(), distributions.kl_divergence(q, forms.normal(prior_mu, prior_logvar))


DESCRIPTION = Description(
    cases=tuple(
        posterior("sample_with_kl", prior, scale, noise)
        for scale in SCALES
        for prior in [prior for prior in PRIORS if prior != "none"]
        for noise in NOISE
    ),
    representative="sample_with_kl-logvar-event-seed",
    subject=Subject(
        sample_with_gaussian_kl,
        "sample_with_kl",
        {
            "mu": "location",
            "logvar": "spread",
            "prior_mu": "location",
            "prior_logvar": "near",
            "eps": "location",
        },
    ),
    operands=POSTERIOR + PRIOR,
    eager=eager,
    distributions=of_distributions,
)
