"""Posteriors against torch.distributions: densities, entropies, divergences, samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from linear_gaussian import UNBIASED, worst_z_score
from loss_problem import F64, normal
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MultivariateNormal,
    kl_divergence,
)
from torch.distributions import Normal as TorchNormal

from vaekern import posteriors, priors
from vaekern.posteriors import DiagonalGaussian, FullGaussian, LowRankGaussian, Posterior

B, D, R = 3, 4, 2
Make = Callable[..., Posterior]


def independent(mu: Tensor, std: Tensor) -> Distribution:
    return Independent(TorchNormal(mu, std), 1)


def full(mu: Tensor, raw: Tensor) -> Distribution:
    diagonal = torch.nn.functional.softplus(raw.diagonal(dim1=-2, dim2=-1)) + 0.1
    return MultivariateNormal(mu, scale_tril=raw.tril(-1) + torch.diag_embed(diagonal))


def low_rank(mu: Tensor, factor: Tensor, logvar: Tensor) -> Distribution:
    return LowRankMultivariateNormal(mu, factor, logvar.exp())


def clamped(mu: Tensor, s: Tensor) -> Distribution:
    return independent(mu, torch.exp(0.5 * s.clamp(-0.5, 0.5)))


#: What an encoder gives [B, *shape]; the posterior of it; torch's distribution of it.
FAMILIES: dict[str, tuple[list[tuple[int, ...]], Make, Callable[..., Distribution]]] = {
    "logvar": ([(D,), (D,)], DiagonalGaussian, lambda m, s: independent(m, torch.exp(0.5 * s))),
    "log_std": (
        [(D,), (D,)],
        lambda m, s: DiagonalGaussian(m, s, scale="log_std"),
        lambda m, s: independent(m, s.exp()),
    ),
    "std": (
        [(D,), (D,)],
        lambda m, s: DiagonalGaussian(m, s.exp(), scale="std"),
        lambda m, s: independent(m, s.exp()),
    ),
    "softplus": (
        [(D,), (D,)],
        lambda m, s: DiagonalGaussian.softplus(m, s, floor=0.05),
        lambda m, s: independent(m, torch.nn.functional.softplus(s) + 0.05),
    ),
    "clamped": (
        [(D,), (D,)],
        lambda m, s: DiagonalGaussian(m, s, logvar_clamp=(-0.5, 0.5)),
        clamped,
    ),
    "full": ([(D,), (D, D)], lambda m, r: FullGaussian.from_raw(m, r, floor=0.1), full),
    "low rank": ([(D,), (D, R), (D,)], LowRankGaussian, low_rank),
    "low rank of std": (
        [(D,), (D, R), (D,)],
        lambda m, w, s: LowRankGaussian(m, w, torch.exp(0.5 * s), scale="std"),
        low_rank,
    ),
}
every_family = pytest.mark.parametrize("family", FAMILIES)


def both(family: str, seed: int = 0) -> tuple[Posterior, Distribution, list[Tensor]]:
    shapes, ours, theirs = FAMILIES[family]
    outputs = [normal(B, *s, seed=seed + k).requires_grad_() for k, s in enumerate(shapes)]
    return ours(*outputs), theirs(*outputs), outputs


def agree(found: Tensor, expected: Tensor, leaves: list[Tensor]) -> None:
    torch.testing.assert_close(found, expected)
    weights = normal(*found.shape, seed=99)
    pairs = zip(
        torch.autograd.grad((weights * found).sum(), leaves, allow_unused=True, retain_graph=True),
        torch.autograd.grad(
            (weights * expected).sum(), leaves, allow_unused=True, retain_graph=True
        ),
        strict=True,
    )
    for (got, want), leaf in zip(pairs, leaves, strict=True):
        nothing = torch.zeros_like(leaf)
        torch.testing.assert_close(
            nothing if got is None else got, nothing if want is None else want
        )


@every_family
def test_densities_and_entropy(family: str) -> None:
    q, expected, outputs = both(family)
    z = normal(B, D, seed=7).requires_grad_()
    agree(q.log_prob(z), expected.log_prob(z), [z, *outputs])
    agree(q.entropy(), expected.entropy(), outputs)
    z, log_prob = q.sample_with_log_prob(seed=5)
    assert torch.equal(z, q.rsample(seed=5))
    agree(log_prob, expected.log_prob(z), outputs)
    agree(log_prob, q.log_prob(z), outputs)
    assert (q.latent_shape, q.location.shape) == ((D,), (B, D))


@every_family
def test_samples_have_the_covariance(family: str) -> None:
    q, expected, _ = both(family)
    n = 20_000
    with torch.no_grad():
        z = q.expand(n).rsample(seed=1)
        deviations = z - expected.mean
        products = deviations.unsqueeze(-1) * deviations.unsqueeze(-2)
        covariance = getattr(expected, "covariance_matrix", None)
        if covariance is None:
            covariance = torch.diag_embed(expected.variance)
    assert worst_z_score(deviations, torch.zeros(B, D)) < UNBIASED
    assert worst_z_score(products, covariance) < UNBIASED


def priors_of_gaussians() -> dict[str, tuple[Any, Distribution]]:
    zero, one = torch.zeros(B, D, dtype=F64), torch.ones(B, D, dtype=F64)
    learned = priors.LearnedGaussian(D, mu=0.3, logvar=-0.4).double()
    mu, s = normal(B, D, seed=30), normal(B, D, seed=31)
    return {
        "none": (None, independent(zero, one)),
        "standard": (priors.StandardNormal(D), independent(zero, one)),
        "learned": (learned, independent(zero + 0.3, one * math.exp(-0.2))),
        "one each": (DiagonalGaussian(mu, s), independent(mu, torch.exp(0.5 * s))),
        "of std": (
            DiagonalGaussian(mu, s.exp(), scale="std"),
            independent(mu, s.exp()),
        ),
        "clamped": (DiagonalGaussian(mu, s, logvar_clamp=(-0.5, 0.5)), clamped(mu, s)),
    }


@pytest.mark.parametrize("prior", priors_of_gaussians())
@every_family
def test_divergences(family: str, prior: str) -> None:
    q, expected, outputs = both(family)
    p, expected_p = priors_of_gaussians()[prior]

    def dense(d: Any) -> Distribution:
        if isinstance(d, Independent):
            return MultivariateNormal(d.mean, scale_tril=torch.diag_embed(d.stddev))
        return MultivariateNormal(d.mean, d.covariance_matrix)

    kl = q.kl(p)
    agree(kl, kl_divergence(dense(expected), dense(expected_p)), outputs)
    z, again = q.sample_with_kl(p, seed=3)
    torch.testing.assert_close(again, kl)
    assert torch.equal(z, q.rsample(seed=3))


def test_divergence_of_full_gaussians() -> None:
    (q, expected_q, outputs), (p, expected_p, _) = both("full"), both("full", seed=20)
    agree(q.kl(p), kl_divergence(expected_q, expected_p), outputs)


@pytest.mark.parametrize("size", [1e-2, 1e-4])
def test_low_rank_divergence_keeps_digits_near_the_prior(size: float) -> None:
    factor = size * normal(B, D, R, dtype=torch.float32)
    mu, logvar = torch.zeros(B, D), torch.zeros(B, D)
    found = LowRankGaussian(mu, factor, logvar).kl()
    wide = factor.double()
    gram = wide.mT @ wide
    eigenvalues = torch.linalg.eigvalsh(gram)
    expected = 0.5 * (eigenvalues - torch.log1p(eigenvalues)).sum(1)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-18 / size)


def test_low_rank_density_where_the_factor_is_large() -> None:
    """The formula that subtracts would be left with rounding errors."""
    mu, factor = torch.zeros(1, D), 1e4 * normal(1, D, R, dtype=torch.float32)
    z = factor.sum(2) + normal(1, D, seed=2, dtype=torch.float32)
    found = LowRankGaussian(mu, factor, torch.zeros(1, D)).log_prob(z)
    covariance = factor.double() @ factor.double().mT + torch.eye(D, dtype=F64)
    expected = MultivariateNormal(mu.double(), covariance).log_prob(z.double())
    torch.testing.assert_close(found.double(), expected, rtol=1e-2, atol=0.0)


@every_family
def test_half_precision_and_its_widening(family: str) -> None:
    shapes, ours, _ = FAMILIES[family]
    outputs = [(0.3 * normal(B, *s, seed=k)).bfloat16() for k, s in enumerate(shapes)]
    q = ours(*outputs)
    z, log_prob = q.sample_with_log_prob(seed=1)
    kl = q.kl(priors.LearnedGaussian(D))
    assert (z.dtype, log_prob.dtype, kl.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    assert q.entropy().dtype is torch.float32
    wide = q.widen().rsample(seed=1)
    assert wide.dtype is torch.float32
    torch.testing.assert_close(z, wide.bfloat16(), rtol=1e-2, atol=1e-2)


@every_family
def test_rearrangements(family: str) -> None:
    q, _, outputs = both(family)
    five = q.expand(5)
    assert five.rsample(seed=1).shape == (5, B, D)
    assert five.log_prob(normal(5, B, D)).shape == (5, B)
    torch.testing.assert_close(five.entropy(), q.entropy().expand(5, B))
    still = q.detach().log_prob(normal(B, D).requires_grad_())
    assert still.requires_grad
    assert all(g is None for g in torch.autograd.grad(still.sum(), outputs, allow_unused=True))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda t: LowRankGaussian(t(2, 3), t(2, 4, 1), t(2, 3)),
            ValueError,
            r"factor: .*\(2, 3\).*got \(2, 4, 1\)",
        ),
        (
            lambda t: LowRankGaussian(t(2, 3), t(2, 3, 1), t(3)),
            ValueError,
            r"logvar: expected the shape of mu, \(2, 3\), got \(3,\)",
        ),
        (
            lambda t: LowRankGaussian(t(2, 3), t(2, 3, 1), t(2, 3), scale="var"),
            ValueError,
            "scale: .*'var'",
        ),
        (
            lambda t: LowRankGaussian(t(3), t(3, 1), t(3)),
            ValueError,
            "batch_dims: expected at most 0.*got 1",
        ),
        (lambda t: FullGaussian(t(2, 3), t(2, 3)), ValueError, r"tril: .*got \(2, 3\)"),
        (
            lambda t: LowRankGaussian(t(2, 3), t(2, 3, 1), t(2, 3)).rsample(eps=t(2, 3)),
            ValueError,
            r"eps: expected shape \(2, 4\).*got \(2, 3\)",
        ),
        (
            lambda t: DiagonalGaussian(t(2, 3), t(2, 3)).log_prob(t(2, 2)),
            ValueError,
            r"x: .*\(2, 3\), got \(2, 2\)",
        ),
        (
            lambda t: DiagonalGaussian(t(2, 3), t(2, 3)).kl(priors.MixtureOfGaussians(2, 3)),
            NotImplementedError,
            "kl: no closed form of KL.DiagonalGaussian .. MixtureOfGaussians.; sample_with_kl",
        ),
        (
            lambda t: DiagonalGaussian(t(2, 3), t(2, 3)).kl(priors.LearnedGaussian(4)),
            ValueError,
            r"prior_mu: .*got \(4,\)",
        ),
    ],
)
def test_errors(make: Callable[..., Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(torch.zeros)


def test_public_names() -> None:
    assert all(hasattr(posteriors, name) for name in posteriors.__all__)
    assert all(hasattr(priors, name) for name in priors.__all__)


@pytest.mark.parametrize("family", ["logvar", "full", "low rank"])
def test_datapoints_of_several_vectors(family: str) -> None:
    shapes, ours, _ = FAMILIES[family]
    outputs = [normal(2, B, *s, seed=k) for k, s in enumerate(shapes)]
    z, prior = normal(2, B, D, seed=7), priors.LearnedGaussian((B, D), mu=0.2).double()
    one, each = ours(*outputs), ours(*outputs)
    each.batch_dims = 2
    for whole, parts in (
        (one.log_prob(z), each.log_prob(z)),
        (one.entropy(), each.entropy()),
        (one.sample_with_log_prob(seed=1)[1], each.sample_with_log_prob(seed=1)[1]),
        (one.kl(), each.kl()),
        (one.kl(prior), each.kl(DiagonalGaussian(*(t.expand(2, B, D) for t in prior.parameters()),
                                                 batch_dims=2))),
    ):  # fmt: skip
        assert whole.shape == (2,)
        torch.testing.assert_close(whole, parts.sum(1))
