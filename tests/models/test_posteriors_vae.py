"""Posteriors and priors in the VAE module and in the bounds of several samples."""

from __future__ import annotations

import functools
import io
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from linear_gaussian import ESTIMATORS, NOISE, X
from loss_problem import F64, normal
from sampling import one_in
from torch import Tensor, nn
from torch.distributions import MultivariateNormal
from torch.utils._python_dispatch import TorchDispatchMode

import vaekern as vk
from vaekern import objectives, posteriors, priors

FEATURES, LATENT, HIDDEN = 12, 3, 5


class Encoder(nn.Module):
    """As many outputs of LATENT numbers as asked for, and a context if asked for."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.sizes = sizes
        self.layer = nn.Linear(FEATURES, sum(sizes))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.layer(x).split(self.sizes, -1))


class FlowPosterior(nn.Module):
    """Gaussian noise through flows that see a context."""

    def __init__(self, *flows: posteriors.Flow) -> None:
        super().__init__()
        self.flows = nn.ModuleList(flows)

    def forward(self, mu: Tensor, logvar: Tensor, h: Tensor) -> posteriors.Transformed:
        return posteriors.Transformed(posteriors.DiagonalGaussian(mu, logvar), list(self.flows), h)


def low_rank(mu: Tensor, factor: Tensor, logvar: Tensor) -> posteriors.LowRankGaussian:
    return posteriors.LowRankGaussian(mu, factor.unflatten(-1, (LATENT, 2)), logvar)


def planar() -> vk.VAE:
    flows = FlowPosterior(posteriors.Planar(LATENT, HIDDEN), posteriors.Planar(LATENT))
    return vae(Encoder(LATENT, LATENT, HIDDEN), posterior=flows)


def autoregressive() -> vk.VAE:
    flows = [posteriors.AffineAutoregressive(LATENT, 8, HIDDEN, reverse=r) for r in (False, True)]
    prior = priors.MixtureOfGaussians(4, LATENT)
    return vae(Encoder(LATENT, LATENT, HIDDEN), posterior=FlowPosterior(*flows), prior=prior)


def vamp() -> vk.VAE:
    encoder = Encoder(LATENT, LATENT)
    family = functools.partial(posteriors.DiagonalGaussian.softplus, floor=1e-3)
    prior = priors.VampPrior(encoder, torch.rand(6, FEATURES), family, bounds=(0.0, 1.0))
    return vae(encoder, posterior=family, prior=prior)


def full() -> vk.VAE:
    family = functools.partial(posteriors.FullGaussian.from_raw, diagonal="exp")
    return vae(Encoder(LATENT, LATENT * (LATENT + 1) // 2), posterior=family)


def of_low_rank() -> vk.VAE:
    encoder = Encoder(LATENT, 2 * LATENT, LATENT)
    return vae(encoder, posterior=low_rank, prior=priors.LearnedGaussian(LATENT))


def sphere() -> vk.VAE:
    family, prior = posteriors.VonMisesFisher.softplus, priors.UniformSphere(LATENT)
    return vae(Encoder(LATENT, 1), posterior=family, prior=prior)


def beside_a_sphere(mu: Tensor, logvar: Tensor, direction: Tensor, raw: Tensor) -> Any:
    of_sphere = posteriors.VonMisesFisher.softplus(direction.unflatten(-1, (2, -1)), raw[..., None])
    return posteriors.Product(posteriors.DiagonalGaussian(mu, logvar), of_sphere)


def product() -> vk.VAE:
    sphere = priors.UniformSphere((2, 3))
    prior = priors.Product(priors.MixtureOfGaussians(4, LATENT), sphere)
    encoder = Encoder(LATENT, LATENT, 6, 2)
    return vae(encoder, latents=LATENT + 6, posterior=beside_a_sphere, prior=prior)


def vae(encoder: nn.Module, latents: int = LATENT, **options: Any) -> vk.VAE:
    decoder = nn.Sequential(nn.Linear(latents, 16), nn.Tanh(), nn.Linear(16, FEATURES))
    return vk.VAE(encoder, decoder, **options)


MODELS: dict[str, Callable[[], vk.VAE]] = {
    f.__name__: f for f in (planar, autoregressive, vamp, full, of_low_rank, sphere, product)
}
every_model = pytest.mark.parametrize("name", MODELS)


@every_model
def test_training(name: str) -> None:
    model = MODELS[name]()
    x = torch.rand(64, FEATURES).round()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for step in range(60):
        out = model(x, seed=step)
        optimiser.zero_grad()
        out.loss.backward()
        if step == 0:
            assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimiser.step()
        losses.append(out.loss.item())
    assert sum(losses[-5:]) < sum(losses[:5]) - 1.0
    torch.testing.assert_close(out.loss, -out.elbo.mean())


@every_model
def test_methods(name: str) -> None:
    model, x = MODELS[name](), torch.rand(8, FEATURES)
    assert model.reconstruct(x).shape == x.shape
    assert model.sample(5).shape == (5, FEATURES)
    with torch.no_grad():
        elbo = model.elbo(x, 200)
        bound = model.log_marginal_likelihood(x, 200, chunk_size=100)
        sampled = objectives.monte_carlo_elbo(model, x, 200)
    assert (bound > elbo - 0.1).all()
    torch.testing.assert_close(elbo, sampled, atol=1.0, rtol=0.0)
    stored = io.BytesIO()
    torch.save(model.state_dict(), stored)
    stored.seek(0)
    other = MODELS[name]()
    other.load_state_dict(torch.load(stored))
    assert torch.equal(other(x, seed=2).loss, model(x, seed=2).loss)


@pytest.mark.parametrize("name", one_in(2, ["autoregressive", "of_low_rank"]))
def test_compiles_whole(name: str) -> None:
    model, x = MODELS[name](), torch.rand(8, FEATURES)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")(x, seed=3)
    out = model(x, seed=3)
    torch.testing.assert_close((compiled.loss, compiled.kl, compiled.z), (out.loss, out.kl, out.z))
    parameters = list(model.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(compiled.loss, parameters), torch.autograd.grad(out.loss, parameters)
    )


# --- a model of which everything is known: x = W z + noise ----------------------------------------

W = normal(4, 3, seed=2)  # of columns that are not orthogonal: a full covariance
COVARIANCE = torch.linalg.inv(torch.eye(3, dtype=F64) + W.T @ W / NOISE**2)
MEAN = COVARIANCE @ W.T @ X / NOISE**2
EVIDENCE = MultivariateNormal(
    torch.zeros(4, dtype=F64), W @ W.T + NOISE**2 * torch.eye(4, dtype=F64)
).log_prob(X)


class Linear(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return z @ W.T


class Constant(nn.Module):
    def __init__(self, *outputs: Tensor) -> None:
        super().__init__()
        self.outputs = nn.ParameterList(t.clone() for t in outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(t.expand(len(x), *t.shape) for t in self.outputs)


def low_rank_parts() -> tuple[Tensor, Tensor, Tensor]:
    """COVARIANCE as a factor of rank 2 and a diagonal: all but the smallest eigenvalue."""
    values, vectors = torch.linalg.eigh(COVARIANCE)
    factor = vectors[:, 1:] * (values[1:] - values[0]).sqrt()
    return MEAN, factor, values[:1].log().expand(3)


def affine_flow(mu: Tensor, tril: Tensor) -> posteriors.Transformed:
    base = posteriors.FullGaussian(torch.zeros_like(mu), tril)
    return posteriors.Transformed(base, [torch.distributions.AffineTransform(mu, 1.0)])


EXACT: dict[str, tuple[Callable[..., posteriors.Posterior], tuple[Tensor, ...]]] = {
    "full": (posteriors.FullGaussian, (MEAN, torch.linalg.cholesky(COVARIANCE))),
    "low rank": (posteriors.LowRankGaussian, low_rank_parts()),
    "transformed": (affine_flow, (MEAN, torch.linalg.cholesky(COVARIANCE))),
}


def exact_model(name: str) -> vk.VAE:
    family, outputs = EXACT[name]
    likelihood = vk.GaussianLikelihood(2.0 * math.log(NOISE))
    return vk.VAE(Constant(*outputs), Linear(), likelihood, posterior=family)


@pytest.mark.parametrize(
    ("name", "estimator"),
    [*itertools.product(("full", "low rank"), ESTIMATORS), ("transformed", "iwae")],
)
def test_at_the_true_posterior_every_weight_is_the_evidence(name: str, estimator: str) -> None:
    """And the estimators that leave the score out have gradients without variance, 0."""
    model, x = exact_model(name), X.expand(3, 4)
    evidence = EVIDENCE.expand(3)
    weights = objectives.model_log_weights(model, x, 5, estimator=estimator)
    torch.testing.assert_close(weights, evidence.expand(5, 3))
    bound = objectives.importance_weighted_bound(weights)
    found = torch.autograd.grad(bound.sum(), list(model.encoder.parameters()))
    size = max(g.abs().max().item() for g in found)
    assert size > 1e-2 if estimator == "iwae" else size < 1e-9
    torch.testing.assert_close(model.log_marginal_likelihood(x, 7, chunk_size=3), evidence)


def test_learned_prior_is_the_one_of_the_bound() -> None:
    """x = z + noise with z ~ N(m, e^w)."""
    prior = priors.LearnedGaussian(2, mu=0.4, logvar=-0.3).double()
    x, noise = normal(5, 2), 0.5
    variance = torch.tensor(-0.3, dtype=F64).exp()
    gain = variance / (variance + noise)
    mean, spread = 0.4 + gain * (x - 0.4), (noise * gain).log().expand(5, 2)
    likelihood = vk.GaussianLikelihood(math.log(noise))
    model = vk.VAE(_Given(mean, spread), nn.Identity(), likelihood, prior=prior)
    exact = torch.distributions.Normal(0.4, (variance + noise).sqrt()).log_prob(x).sum(1)
    weights = objectives.model_log_weights(model, x, 3)
    torch.testing.assert_close(weights, exact.expand(3, 5))
    torch.testing.assert_close(model(x).kl, model.infer(x).kl(prior))


class _Given(nn.Module):
    def __init__(self, *outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.outputs


class Kernels(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func.namespace == "vaekern":
            self.names.append(func._schema.name.removeprefix("vaekern::"))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("prior", "kernel"),
    [
        (lambda: None, "sample_with_standard_kl"),
        (lambda: priors.StandardNormal(LATENT), "sample_with_standard_kl"),
        (lambda: priors.LearnedGaussian(LATENT), "sample_with_gaussian_kl"),
    ],
)
def test_independent_elements_take_one_kernel(
    prior: Callable[[], priors.Prior | None], kernel: str
) -> None:
    model = vae(Encoder(LATENT, LATENT), prior=prior())
    with Kernels() as kernels:
        model(torch.rand(2, FEATURES))
    assert kernels.names == [kernel, "bernoulli_log_likelihood"]


def test_names_of_other_posteriors() -> None:
    model, x = full(), torch.rand(2, FEATURES)
    out = model(x)
    assert isinstance(out.posterior, posteriors.FullGaussian)
    for get in (lambda: out.mu, lambda: out.logvar, lambda: model.encode(x)):
        with pytest.raises(AttributeError, match=r"expected a DiagonalGaussian.*got FullGaussian"):
            get()
    for option in ({"scale": "std"}, {"logvar_clamp": (-1.0, 1.0)}):
        with pytest.raises(ValueError, match="scale and logvar_clamp"):
            vae(Encoder(3, 3), posterior=posteriors.DiagonalGaussian, **option)
    diagonal = vae(Encoder(3, 3), posterior=posteriors.DiagonalGaussian)(x)
    assert torch.equal(diagonal.logvar, diagonal.posterior.logvar)
