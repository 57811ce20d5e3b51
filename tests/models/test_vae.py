"""The VAE module: what it computes, and that it is a module like any other."""

from __future__ import annotations

import copy
import io
import math

import pytest
import torch
from torch import Tensor, nn

import vaekern as vk


class Encoder(nn.Module):
    def __init__(self, features: int, latent: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, 16)
        self.mu = nn.Linear(16, latent)
        self.logvar = nn.Linear(16, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.hidden(x))
        return self.mu(h), self.logvar(h)


def make_vae(features: int = 12, latent: int = 3, likelihood: str = "bernoulli") -> vk.VAE:
    torch.manual_seed(3)
    decoder = nn.Sequential(nn.Linear(latent, 16), nn.Tanh(), nn.Linear(16, features))
    return vk.VAE(Encoder(features, latent), decoder, likelihood)


def data(n: int = 8, features: int = 12) -> Tensor:
    return torch.rand(n, features, generator=torch.Generator().manual_seed(5))


def test_output_is_consistent() -> None:
    vae, x = make_vae(), data()
    out = vae(x, seed=1)
    assert out.z.shape == (8, 3)
    torch.testing.assert_close(out.kl, vk.gaussian_kl(out.mu, out.logvar))
    torch.testing.assert_close(
        out.log_likelihood, vk.bernoulli_log_likelihood(out.decoder_output, x)
    )
    torch.testing.assert_close(out.loss, -out.elbo.mean())
    torch.testing.assert_close(out.loss, vk.elbo_loss(out.decoder_output, x, out.mu, out.logvar))
    assert torch.equal(vae(x, seed=1).z, out.z)
    assert not torch.equal(vae(x).z, out.z)


def test_beta_weighs_the_divergence() -> None:
    vae, x = make_vae(), data()
    vae.beta = torch.tensor(0.25)
    out = vae(x)
    torch.testing.assert_close(out.loss, (0.25 * out.kl - out.log_likelihood).mean())


def test_elbo_averages_samples() -> None:
    vae, x = make_vae(), data()
    with torch.no_grad():
        one = torch.stack([vae.elbo(x) for _ in range(400)])
        many = vae.elbo(x, num_samples=400)
    spread = one.std(0) / math.sqrt(400)
    assert ((many - one.mean(0)).abs() < 6 * spread).all()


class _Constant(nn.Module):
    """An encoder that ignores its input."""

    def __init__(self, mu: Tensor, logvar: Tensor) -> None:
        super().__init__()
        self.mu, self.logvar = mu, logvar

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.mu.expand(len(x), -1), self.logvar.expand(len(x), -1)


def test_log_marginal_likelihood_of_a_linear_gaussian_model() -> None:
    """x = z + noise of variance s^2: log p(x) = log N(x; 0, 1 + s^2), exactly."""
    variance = 0.5
    likelihood = vk.GaussianLikelihood(math.log(variance))
    x = torch.tensor([[0.3, -1.2]])
    exact = torch.distributions.Normal(0.0, math.sqrt(1.0 + variance)).log_prob(x).sum()
    posterior_mean, posterior_variance = x[0] / (1 + variance), variance / (1 + variance)
    best = _Constant(posterior_mean, torch.full((2,), math.log(posterior_variance)))
    vae = vk.VAE(best, nn.Identity(), likelihood)
    # With the true posterior every weight is p(x): no sampling error at all.
    estimate = vae.log_marginal_likelihood(x, num_samples=7, chunk_size=3)
    torch.testing.assert_close(estimate, exact.reshape(1))
    worse = vk.VAE(_Constant(torch.zeros(2), torch.zeros(2)), nn.Identity(), likelihood)
    estimate = worse.log_marginal_likelihood(x, num_samples=20000, chunk_size=5000)
    torch.testing.assert_close(estimate, exact.reshape(1), atol=0.05, rtol=0.0)
    assert worse.elbo(x, num_samples=2000).item() < exact.item() - 0.2


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_reconstruct_and_sample(likelihood: str) -> None:
    vae, x = make_vae(likelihood=likelihood), data()
    with pytest.raises(RuntimeError, match="latent_shape"):
        vae.sample(2)
    reconstruction = vae.reconstruct(x)
    assert reconstruction.shape == x.shape
    generator = torch.Generator().manual_seed(0)
    samples = vae.sample(5, generator=generator)
    assert samples.shape == (5, 12)
    assert torch.equal(samples, vae.sample(5, generator=torch.Generator().manual_seed(0)))
    drawn = vae.likelihood.sample(vae.decoder(torch.zeros(5, 3)))
    assert drawn.shape == (5, 12)
    if likelihood == "bernoulli":
        assert ((reconstruction >= 0) & (reconstruction <= 1)).all()
        assert ((drawn == 0) | (drawn == 1)).all()


def test_gaussian_likelihood_with_learned_variance_per_channel() -> None:
    likelihood = vk.GaussianLikelihood(torch.tensor([0.0, 1.0, -1.0]), learned=True)
    mean, x = torch.zeros(4, 3, 5, 5), torch.randn(4, 3, 5, 5)
    likelihood.log_prob(mean, x).sum().backward()
    logvar = likelihood.logvar
    expected = 0.5 * (x.square().sum((0, 2, 3)) * torch.exp(-logvar.detach()) - 100)
    torch.testing.assert_close(logvar.grad, expected)
    spread = likelihood.sample(torch.zeros(2000, 3, 4)).std((0, 2))
    torch.testing.assert_close(spread, torch.exp(0.5 * logvar.detach()), rtol=0.05, atol=0.0)


def test_it_is_a_plain_module() -> None:
    vae, x = make_vae(), data()
    vae(x)
    stored = io.BytesIO()
    torch.save(vae.state_dict(), stored)
    stored.seek(0)
    other = make_vae()
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    other.load_state_dict(torch.load(stored))
    assert torch.equal(other(x, seed=2).loss, vae(x, seed=2).loss)
    assert torch.equal(copy.deepcopy(vae)(x, seed=2).loss, vae(x, seed=2).loss)
    assert vae.double()(x.double(), seed=2).loss.dtype is torch.float64
    assert vae.bfloat16()(x.bfloat16(), seed=2).z.dtype is torch.bfloat16


@pytest.mark.exhaustive
def test_compiles_whole() -> None:
    vae, x = make_vae(), data()
    eager = vae(x, seed=4)
    compiled = torch.compile(vae, fullgraph=True)(x, seed=4)
    torch.testing.assert_close(compiled.loss, eager.loss)
    compiled.loss.backward()


def trajectory(backend: str, dtype: torch.dtype, steps: int = 100) -> list[float]:
    vae, x = make_vae(features=40, latent=5).to(dtype), data(256, 40).to(dtype)
    optimiser = torch.optim.Adam(vae.parameters(), lr=3e-3)
    losses = []
    with vk.backend(backend):
        for step in range(steps):
            batch = x[step * 32 % 256 :][:32]
            loss = vae(batch, seed=step).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
def test_training_agrees_with_the_reference(dtype: torch.dtype, tolerance: float) -> None:
    """The same seeds give the same losses over 100 steps, to a few roundings."""
    compiled, reference = trajectory("cpu", dtype), trajectory("reference", dtype)
    assert compiled[-1] < compiled[0] - 0.5
    for ours, theirs in zip(compiled, reference, strict=True):
        assert abs(ours - theirs) <= tolerance * abs(theirs)


@pytest.mark.parametrize("method", ["elbo", "sample", "log_marginal_likelihood"])
def test_numbers_of_samples_are_checked(method: str) -> None:
    vae = make_vae()
    arguments = (0,) if method == "sample" else (data(), 0)
    with pytest.raises(ValueError, match=r"num_samples.*at least 1.*0"):
        getattr(vae, method)(*arguments)
