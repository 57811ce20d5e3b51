"""Latent classes in models and objectives: training, free bits, balanced divergences, and weights
of which the evidence is known by enumeration."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from categorical_latents import TEMPERATURE, B, K, V, agree, logits
from loss_problem import F64, normal
from torch import Tensor, nn
from torch.distributions import OneHotCategorical, kl_divergence

import vaekern as vk
from vaekern import objectives, priors
from vaekern.posteriors import Categorical, DiagonalGaussian, Product, RelaxedCategorical

FEATURES = 6


class Encoder(nn.Module):
    def __init__(self, *shapes: tuple[int, ...]) -> None:
        super().__init__()
        self.shapes = shapes
        self.layer = nn.Linear(FEATURES, sum(math.prod(shape) for shape in shapes))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        parts = self.layer(x).split([math.prod(shape) for shape in self.shapes], -1)
        return tuple(part.unflatten(-1, s) for part, s in zip(parts, self.shapes, strict=True))


def joint(mu: Tensor, logvar: Tensor, raw: Tensor) -> Product:
    return Product(DiagonalGaussian(mu, logvar), RelaxedCategorical(raw, TEMPERATURE))


UNIFORM = priors.UniformCategorical((V, K))
MODELS: dict[str, Callable[[], vk.VAE]] = {
    "categorical": lambda: vae(
        posterior=functools.partial(Categorical, unimix=0.01), prior=UNIFORM
    ),
    "learned": lambda: vae(posterior=Categorical, prior=priors.LearnedCategorical((V, K))),
    "relaxed": lambda: vae(
        posterior=functools.partial(RelaxedCategorical, temperature=torch.tensor(TEMPERATURE)),
        prior=priors.RelaxedCategorical((V, K), 0.5),
    ),
    "surrogate": lambda: vae(
        posterior=functools.partial(RelaxedCategorical, temperature=TEMPERATURE), prior=UNIFORM
    ),
    "joint": lambda: vk.VAE(
        Encoder((3,), (3,), (V, K)),
        nn.Linear(3 + V * K, FEATURES),
        posterior=joint,
        prior=priors.Product(priors.StandardNormal(3), UNIFORM),
    ),
}


def vae(**options: Any) -> vk.VAE:
    decoder = nn.Sequential(nn.Flatten(), nn.Linear(V * K, FEATURES))
    return vk.VAE(Encoder((V, K)), decoder, **options)


@pytest.mark.parametrize("name", MODELS)
def test_training_and_methods(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]()
    x = (torch.rand(64, 1) < 0.5).float().expand(64, FEATURES)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-2)
    losses = []
    for step in range(80):
        out = model(x, seed=step)
        optimiser.zero_grad()
        out.loss.backward()
        if step == 0:
            assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimiser.step()
        losses.append(out.loss.item())
    assert sum(losses[-5:]) < sum(losses[:5]) - 5.0
    if name != "relaxed":
        torch.testing.assert_close(model(x).kl, model.infer(x).kl(model.prior))
    assert model.reconstruct(x).shape == x.shape
    assert model.sample(5).shape == (5, FEATURES)
    if name in ("surrogate", "joint"):
        with pytest.raises(ValueError, match=r"prior: .*simplex.*one-hot"):
            model.log_marginal_likelihood(x)
    else:
        with torch.no_grad():
            bound = model.log_marginal_likelihood(x, 100)
            assert bound.mean() > model.elbo(x, 50).mean() - 0.1


def test_free_bits_of_variables() -> None:
    model, x = MODELS["categorical"](), torch.rand(8, FEATURES)
    each = model.infer(x).map(lambda t: t.unflatten(0, (8,)))
    plain = model(x, seed=1)
    whole = model(x, seed=1, free_bits=0.5)
    kl = vk.categorical_kl(each.logits, unimix=0.01, batch_dims=2)  # of each variable
    floored = torch.where(kl.mean(0) < 0.5, 0.5, kl).sum(1)
    torch.testing.assert_close(whole.loss - plain.loss, (floored - plain.kl).mean())
    torch.testing.assert_close(whole.kl, plain.kl)
    with pytest.raises(ValueError, match=r"free_bits_over: .*'sample' or 'batch'"):
        MODELS["joint"]()(x, free_bits=0.5)
    assert MODELS["joint"]()(x, free_bits=0.5, free_bits_over="batch").loss.isfinite()


def test_balanced_divergences() -> None:
    """Value and gradients are those of the two stop-gradients."""
    raw, other = logits(), logits(1)
    mask = torch.tensor([[True, False], [True, True], [False, True]])
    found = objectives.balanced_categorical_kl(raw, other, alpha=0.7, unimix=0.1, mask=mask)

    def kl(q: Tensor, p: Tensor) -> Tensor:
        one, two = (OneHotCategorical(probs=0.9 * torch.softmax(t, -1) + 0.1 / K) for t in (q, p))
        return (kl_divergence(one, two) * mask).sum(1)

    expected = 0.7 * kl(raw.detach(), other) + 0.3 * kl(raw, other.detach())
    agree(found, expected, [raw, other])
    with pytest.raises(ValueError, match=r"alpha: .*got 1.5"):
        objectives.balanced_categorical_kl(raw, other, alpha=1.5)
    with pytest.raises(TypeError, match=r"prior_logits: .*NoneType"):
        objectives.balanced_categorical_kl(raw, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("over", ["dimension", "group", "sample", "batch"])
def test_free_bits_are_those_of_the_parts(over: str) -> None:
    raw, weights = logits(0, B, 2), torch.tensor([0.5, 1.0, 2.0], dtype=F64)  # [B, 2, V, K]
    uniform = OneHotCategorical(logits=torch.zeros_like(raw))
    each = kl_divergence(OneHotCategorical(logits=raw), uniform)
    whole = each.sum((1, 2)).unsqueeze(1)
    parts = {"dimension": each.flatten(1), "group": each.sum(2)}.get(over, whole)
    mean = parts if over == "sample" else (weights[:, None] * parts).sum(0) / weights.sum()
    for floor in (1.01 * mean.detach().quantile(0.4).item(), 0.5 * mean.min().item(), 100.0):
        found = objectives.free_bits_categorical_kl(
            raw, free_bits=floor, over=over, weights=weights
        )
        agree(found, torch.where(mean < floor, floor, parts).sum(1), [raw])


def test_at_the_true_posterior_every_weight_is_the_evidence() -> None:
    """Of one variable, over the classes of which everything can be summed."""
    table = normal(K, FEATURES)
    prior = priors.LearnedCategorical((1, K)).double()
    with torch.no_grad():
        prior.logits.copy_(normal(1, K, seed=1))
    x = torch.bernoulli(torch.full((4, FEATURES), 0.5, dtype=F64))
    log_likelihood = vk.bernoulli_log_likelihood(
        table.expand(4, K, FEATURES), x[:, None].expand(4, K, FEATURES), batch_dims=2
    )
    log_joint = log_likelihood + torch.log_softmax(prior.logits, -1)
    evidence = torch.logsumexp(log_joint, 1)

    class Decoder(nn.Module):
        def forward(self, z: Tensor) -> Tensor:
            return z.squeeze(-2) @ table

    class Exact(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return log_joint.detach()[:, None]

    model = vk.VAE(Exact(), Decoder(), posterior=Categorical, prior=prior)
    weights = objectives.model_log_weights(model, x, 7)
    torch.testing.assert_close(weights, evidence.expand(7, 4))
    for estimator in ("stl", "dreg"):
        with pytest.raises(NotImplementedError, match=f"estimator: '{estimator}'.*Categorical"):
            objectives.model_log_weights(model, x, 7, estimator=estimator)
