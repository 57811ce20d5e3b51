"""Samples of a Gaussian and its KL divergence to the standard normal."""

from __future__ import annotations

from mpmath import mpf
from torch import Tensor, distributions

from operations import forms
from operations.arguments import NOISE, SCALES, posterior
from operations.description import Description, Subject
from operations.exact import Exact, together
from operations.operands import POSTERIOR
from operations.rows import standard_kl as kl
from operations.rows.reparameterize import reparameterize
from operations.rows.standard_kl import standard_kl


def sample_with_standard_kl(scale: str, mu: mpf, s: mpf, eps: mpf) -> Exact:
    return together(reparameterize(scale, mu, s, eps), standard_kl(scale, mu, s))


def eager(mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    return forms.sample(mu, logvar), kl.eager(mu, logvar)


def of_distributions(mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
    q = forms.normal(mu, logvar)
    return q.rsample(), distributions.kl_divergence(q, forms.standard_normal(mu))


DESCRIPTION = Description(
    cases=tuple(
        posterior("sample_with_kl", prior, scale, noise)
        for scale in SCALES
        for prior in ["none"]
        for noise in NOISE
    ),
    representative="sample_with_kl-logvar-none-seed",
    subject=Subject(
        sample_with_standard_kl,
        "sample_with_kl",
        {"mu": "location", "logvar": "spread", "eps": "location"},
    ),
    operands=POSTERIOR,
    eager=eager,
    distributions=of_distributions,
)
