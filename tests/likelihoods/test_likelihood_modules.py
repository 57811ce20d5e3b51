"""The continuous Bernoulli and Student's t as modules; a scale that the decoder emits."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import ContinuousBernoulli, Laplace, StudentT

import vaekern as vk

LOGITS = torch.tensor([-40.0, -8.0, -1.0, -0.3, -0.2, -1e-4, 0.0, 1e-6, 0.2, 0.3, 2.0, 9.0, 60.0])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_mean_of_the_continuous_bernoulli(dtype: torch.dtype) -> None:
    """Against a sum over its quantiles, which knows no formula of the mean."""
    logits = LOGITS.to(dtype)
    found = vk.ContinuousBernoulliLikelihood().mean(logits)
    assert found.dtype is dtype
    u = ((torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000)[:, None]
    wide = logits.double()
    safe = torch.where(wide == 0.0, 1.0, wide)
    quantiles = torch.log1p(u * torch.expm1(-safe.abs())) / -safe.abs()
    quantiles = torch.where(safe > 0, 1.0 - quantiles, quantiles)
    want = torch.where(wide == 0.0, 0.5, quantiles.mean(0))
    torch.testing.assert_close(
        found.double(), want, rtol=0.0, atol=max(1e-6, torch.finfo(dtype).eps)
    )


def test_gradient_of_that_mean() -> None:
    """Is the variance, also where the series ends."""
    logits = LOGITS.double().clamp(-30, 30).requires_grad_()
    mean = vk.ContinuousBernoulliLikelihood().mean(logits)
    (found,) = torch.autograd.grad(mean.sum(), logits)
    want = ContinuousBernoulli(logits=logits.detach()).variance
    torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_samples_of_the_continuous_bernoulli(dtype: torch.dtype) -> None:
    likelihood, logits = vk.ContinuousBernoulliLikelihood(), LOGITS.to(dtype).expand(20_000, -1)
    drawn = likelihood.sample(logits, torch.Generator().manual_seed(0))
    assert drawn.dtype is dtype
    assert ((drawn >= 0) & (drawn <= 1)).all()
    mean = likelihood.mean(logits[0].double())
    torch.testing.assert_close(drawn.double().mean(0), mean, rtol=0.0, atol=0.01)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16])
@pytest.mark.parametrize("df", [0.05, 1.0, 4.0, 1e8, float("inf")])
def test_samples_of_student(df: float, dtype: torch.dtype) -> None:
    """Its quartiles, which need no moments."""
    likelihood = vk.StudentTLikelihood(df, log_scale=0.7)
    loc = torch.full((20_000, 2), 3.0, dtype=dtype)
    drawn = likelihood.sample(loc, torch.Generator().manual_seed(0))
    assert drawn.dtype is dtype
    assert drawn.isfinite().all()
    assert (drawn > 3.0).double().mean().item() == pytest.approx(0.5, abs=0.02)
    if df >= 1.0:
        quartiles = torch.tensor([0.25, 0.75], dtype=torch.float64)
        found = ((drawn.double() - 3.0) / torch.tensor(0.7).exp()).quantile(quartiles)
        want = {1.0: 1.0, 4.0: 0.7407}.get(df, 0.6745)
        assert found.tolist() == pytest.approx([-want, want], abs=0.03)


X, LOC, SCALE = (torch.rand(4, 6, generator=torch.Generator().manual_seed(k)) for k in range(3))


@pytest.mark.parametrize(
    ("likelihood", "of_torch"),
    [
        (vk.LaplaceLikelihood(0.3), lambda s: Laplace(LOC, s.exp())),
        (vk.StudentTLikelihood(4.0, 0.3), lambda s: StudentT(4.0, LOC, s.exp())),
        (vk.GaussianLikelihood(0.3), lambda s: torch.distributions.Normal(LOC, (0.5 * s).exp())),
    ],
    ids=["laplace", "student", "gaussian"],
)
def test_a_scale_that_the_decoder_emits(likelihood: vk.Likelihood, of_torch: Any) -> None:
    own = torch.tensor(0.3)
    for output, s in ((LOC, own), ((LOC, SCALE), SCALE), ([LOC, SCALE[0]], SCALE[0])):
        want = of_torch(s).log_prob(X).sum(1)
        torch.testing.assert_close(likelihood.log_prob(output, X), want)
        assert likelihood.mean(output) is LOC
        assert likelihood.sample(output).shape == X.shape
        mu = torch.zeros(4, 2)
        torch.testing.assert_close(vk.elbo_loss(output, X, mu, mu, likelihood), -want.mean())


def test_laplace_samples_have_the_emitted_scale() -> None:
    loc, s = torch.zeros(50_000, 3), torch.tensor([-1.0, 0.0, 2.0])
    drawn = vk.LaplaceLikelihood().sample((loc, s), torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn.abs().mean(0), s.exp(), rtol=0.03, atol=0.0)


def test_the_continuous_bernoulli_is_that_of_the_function() -> None:
    logits = 4.0 * LOC - 2.0
    want = vk.continuous_bernoulli_log_likelihood(logits, X)
    mu: Tensor = torch.zeros(4, 2)
    for likelihood in ("continuous_bernoulli", vk.ContinuousBernoulliLikelihood()):
        torch.testing.assert_close(vk.elbo_loss(logits, X, mu, mu, likelihood), -want.mean())


@pytest.mark.parametrize("scale", ["logvar", "log_std", "std"])
def test_scale_is_that_of_both_tuples(scale: str) -> None:
    s, mean, mu = X + 0.5, X.flip(0), X[:, :2]
    kl = vk.gaussian_kl(mu, s[:, :2], scale=scale)
    loss = functools.partial(vk.elbo_loss, likelihood="gaussian", scale=scale)
    want = kl - vk.gaussian_log_likelihood(mean, X, s, scale=scale)
    torch.testing.assert_close(loss((mean, s), X, mu, s[:, :2]), want.mean())
    want = kl - vk.gaussian_log_likelihood(mean, X)  # of unit variance
    torch.testing.assert_close(loss(mean, X, mu, s[:, :2]), want.mean())
    want = kl - vk.gaussian_log_likelihood(mean, X, s)  # a module has its own
    own = vk.elbo_loss((mean, s), X, mu, s[:, :2], vk.GaussianLikelihood(), scale=scale)
    torch.testing.assert_close(own, want.mean())
