"""Priors: densities, samples, and divergences estimated from them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from linear_gaussian import UNBIASED, generator, worst_z_score
from loss_problem import F64, normal
from torch import Tensor, nn
from torch.distributions import (
    AffineTransform,
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
)
from torch.distributions import Normal as TorchNormal

from vaekern import priors
from vaekern.posteriors import DiagonalGaussian, FullGaussian, Transformed, tril_from_packed

B, D, K = 4, 3, 5


class Encoder(nn.Module):
    def __init__(self, inputs: int = 6) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, 2 * D)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.layer(x).chunk(2, -1)
        return mu, logvar


def gaussian(mu: Tensor, logvar: Tensor) -> Independent:
    return Independent(TorchNormal(mu, torch.exp(0.5 * logvar)), 1)


def standard() -> tuple[priors.Prior, torch.distributions.Distribution]:
    zero = torch.zeros(D, dtype=F64)
    return priors.StandardNormal(D).double(), gaussian(zero, zero)


def learned() -> tuple[priors.Prior, torch.distributions.Distribution]:
    prior = priors.LearnedGaussian(D).double()
    with torch.no_grad():
        prior.mu.copy_(normal(D))
        prior.logvar.copy_(normal(D, seed=1))
    return prior, gaussian(prior.mu, prior.logvar)


def mixture() -> tuple[priors.Prior, torch.distributions.Distribution]:
    prior = priors.MixtureOfGaussians(K, D, spread=2.0).double()
    with torch.no_grad():
        prior.logits.copy_(normal(K))
        prior.logvar.copy_(normal(K, D, seed=1))
    weights = Categorical(logits=prior.logits)
    return prior, MixtureSameFamily(weights, gaussian(prior.mu, prior.logvar))


def vamp() -> tuple[priors.Prior, torch.distributions.Distribution]:
    prior = priors.VampPrior(Encoder(), 2.0 * normal(K, 6), bounds=(-1.0, 1.0)).double()
    components = prior.encoder(prior.pseudo_inputs.clamp(-1.0, 1.0))
    weights = Categorical(logits=torch.zeros(K, dtype=F64))
    return prior, MixtureSameFamily(weights, gaussian(*components))


Make = Callable[[], tuple[priors.Prior, torch.distributions.Distribution]]
every_prior = pytest.mark.parametrize("make", [standard, learned, mixture, vamp])


@every_prior
def test_densities(make: Make) -> None:
    prior, expected = make()
    z = normal(2, B, D, seed=9).requires_grad_()
    found = prior.log_prob(z, batch_dims=2)
    torch.testing.assert_close(found, expected.log_prob(z))
    torch.testing.assert_close(prior.log_prob(z[0]), found[0])
    torch.testing.assert_close(prior.log_prob(z[0, 0], batch_dims=0), found[0, 0])
    leaves = [z, *prior.parameters()]
    weights = normal(2, B, seed=3)
    torch.testing.assert_close(
        torch.autograd.grad((weights * found).sum(), leaves),
        torch.autograd.grad((weights * expected.log_prob(z)).sum(), leaves),
    )
    assert prior.float().log_prob(z.detach().bfloat16(), batch_dims=2).dtype is torch.float32


@every_prior
def test_samples(make: Make) -> None:
    """Their mean and variance, and E[r(z) / p(z)] = 1 for a density r within p."""
    prior, expected = make()
    n = 20_000
    torch.manual_seed(5)
    z = prior.sample(n, generator=generator(1))
    assert z.shape == (n, D)
    assert not z.requires_grad
    with torch.no_grad():
        assert worst_z_score(z, expected.mean) < UNBIASED
        assert worst_z_score((z - expected.mean).square(), expected.variance) < UNBIASED
        within = TorchNormal(z.mean(0), 0.3 * z.std(0)).log_prob(z).sum(1)
        ratio = torch.exp(within - prior.log_prob(z))
    assert worst_z_score(ratio, torch.ones(())) < UNBIASED


@every_prior
def test_estimated_divergences_are_unbiased(make: Make) -> None:
    """Against the closed form where there is one, and quadrature by many samples of torch."""
    prior, expected = make()
    n = 20_000
    mu, logvar = 0.5 * normal(1, D, seed=2), normal(1, D, seed=3) - 1.0
    one, many = DiagonalGaussian(mu, logvar), DiagonalGaussian(mu.expand(n, D), logvar.expand(n, D))
    with torch.no_grad():
        z, log_q = many.sample_with_log_prob(seed=4)
        estimates = log_q - prior.log_prob(z)
        if prior.diagonal() is None:
            own, kl = many.sample_with_kl(prior, seed=4)
            torch.testing.assert_close((own, kl), (z, estimates))
            torch.manual_seed(8)
            again = gaussian(mu[0], logvar[0]).sample((10 * n,))
            values = gaussian(mu[0], logvar[0]).log_prob(again) - expected.log_prob(again)
            error = math.hypot(estimates.std() / n**0.5, values.std() / (10 * n) ** 0.5)
            assert abs(estimates.mean() - values.mean()) < UNBIASED * error
        else:
            assert worst_z_score(estimates, one.kl(prior)[0]) < UNBIASED


def test_half_precision_does_not_round_the_sample_that_q_is_asked_about() -> None:
    """-log q(z) is (eps^2 + v + log 2 pi) / 2 wherever the mean is."""
    mu, logvar = torch.full((3, 1), 100.0).bfloat16(), torch.full((3, 1), -4.0).bfloat16()
    eps = torch.tensor([[-1.5], [0.0], [0.7]])
    prior = priors.MixtureOfGaussians(2, 1)
    log_q = -0.5 * (eps.square().sum(1) - 4.0 + math.log(2.0 * math.pi))
    for steps in ([], [AffineTransform(0.0, 1.0)]):
        base = DiagonalGaussian(mu, logvar)
        q = Transformed(base, steps) if steps else base
        z, kl = q.sample_with_kl(prior, eps)
        assert z.dtype is torch.bfloat16
        at = z if steps else mu.float() + math.exp(-2.0) * eps
        torch.testing.assert_close(kl + prior.log_prob(at), log_q, rtol=1e-3, atol=2e-3)


def test_conditional_prior() -> None:
    prior = priors.ConditionalGaussian(Encoder(2), scale="log_std").double()
    condition, z = normal(B, 2), normal(B, D, seed=1)
    mu, log_std = prior.network(condition)
    p = prior(condition)
    expected = gaussian(mu, 2.0 * log_std)
    torch.testing.assert_close(prior.log_prob(z, condition), expected.log_prob(z))
    q = DiagonalGaussian(normal(B, D, seed=2), normal(B, D, seed=3))
    wanted = torch.distributions.kl_divergence(gaussian(q.mu, q.logvar), expected)
    torch.testing.assert_close(q.kl(p), wanted)
    torch.testing.assert_close(
        torch.autograd.grad(q.kl(p).sum(), list(prior.parameters())),
        torch.autograd.grad(wanted.sum(), list(prior.parameters())),
    )
    sample = prior.sample(condition, generator=generator(2))
    assert torch.equal(sample, p.rsample(generator=generator(2)))
    assert not sample.requires_grad


def test_vamp_prior_of_full_gaussians_shares_the_encoder() -> None:
    encoder = nn.Sequential(nn.Linear(2, D + D * (D + 1) // 2))

    def posterior(h: Tensor) -> FullGaussian:
        mu, raw = h.split((D, D * (D + 1) // 2), -1)
        return FullGaussian.from_raw(mu, raw)

    prior = priors.VampPrior(encoder, normal(K, 2), posterior).double()
    z = normal(B, D)
    mu, raw = encoder(prior.pseudo_inputs).split((D, D * (D + 1) // 2), -1)
    components = MultivariateNormal(mu, scale_tril=tril_from_packed(raw))
    expected = components.log_prob(z[:, None]).logsumexp(1) - math.log(K)
    torch.testing.assert_close(prior.log_prob(z), expected)
    assert prior.sample(7).shape == (7, D)
    both = nn.ModuleList([encoder, prior])
    assert len(list(both.parameters())) == 3  # weight, bias, pseudo-inputs


@every_prior
def test_errors(make: Make) -> None:
    prior, _ = make()
    with pytest.raises(ValueError, match=r"z: expected 1 batch .* \(3,\), got \(4, 2\)"):
        prior.log_prob(normal(B, 2))
    with pytest.raises(ValueError, match=r"num_samples: expected at least 1, got 0"):
        prior.sample(0)


def test_errors_of_mixtures() -> None:
    with pytest.raises(ValueError, match="num_components: expected at least 1, got 0"):
        priors.MixtureOfGaussians(0, D)
    with pytest.raises(ValueError, match=r"pseudo_inputs: .*got \(0, 6\)"):
        priors.VampPrior(Encoder(), torch.zeros(0, 6))
