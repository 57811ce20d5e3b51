"""Models that are told a condition: the networks and the prior get it, in every method."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

import vaekern as vk
from vaekern import objectives, priors

PIXELS, LATENT, LABELS, BATCH = 6, 3, 4, 5
X = torch.rand(BATCH, PIXELS, generator=torch.Generator().manual_seed(0))
C = nn.functional.one_hot(torch.tensor([0, 1, 2, 3, 0]), LABELS).float()
CONTEXT = torch.randn(BATCH, 2, generator=torch.Generator().manual_seed(1))


class Told(nn.Linear):
    """All arguments side by side."""

    def forward(self, *arguments: Tensor) -> Tensor:
        return super().forward(torch.cat(arguments, dim=-1))


class ToldInTwo(Told):
    def forward(self, *arguments: Tensor) -> Any:
        return super().forward(*arguments).chunk(2, dim=-1)


def make(width: int = LABELS, prior: Any = None) -> vk.VAE:
    torch.manual_seed(0)
    encoder = ToldInTwo(PIXELS + width, 2 * LATENT)
    return vk.VAE(encoder, Told(LATENT + width, PIXELS), prior=prior).double()


def conditional_prior(width: int = LABELS) -> priors.ConditionalGaussian:
    torch.manual_seed(1)
    return priors.ConditionalGaussian(ToldInTwo(width, 2 * LATENT))


def double(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(t.double() for t in tensors)


def test_the_loss_is_that_of_what_the_networks_return() -> None:
    model, (x, c) = make(), double(X, C)
    out = model(x, c, seed=3)
    mu, logvar = model.encoder(x, c)
    want = vk.elbo_loss(model.decoder(out.z, c), x, mu, logvar)
    torch.testing.assert_close(out.loss, want)
    out.loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_divergence_is_to_the_conditional_prior() -> None:
    model, (x, c) = make(prior=conditional_prior()), double(X, C)
    out = model(x, c, seed=3)
    mu, logvar = model.encoder(x, c)
    m, w = model.prior.network(c)
    q, p = (Independent(Normal(a, (0.5 * b).exp()), 1) for a, b in ((mu, logvar), (m, w)))
    torch.testing.assert_close(out.kl, torch.distributions.kl_divergence(q, p))
    out.loss.backward()
    assert all(parameter.grad is not None for parameter in model.prior.parameters())


@pytest.mark.parametrize("prior", [None, "conditional", "learned"])
def test_importance_weights(prior: str | None) -> None:
    """Sample by sample, from torch's densities."""
    of = {"conditional": conditional_prior(), "learned": priors.LearnedGaussian(LATENT, 0.5, -1.0)}
    model, (x, c) = make(prior=None if prior is None else of[prior]), double(X, C)
    eps = torch.randn(7, BATCH, LATENT, dtype=torch.float64)
    found = objectives.model_log_weights(model, x, 7, condition=c, eps=eps)
    mu, logvar = model.encoder(x, c)
    z = mu + (0.5 * logvar).exp() * eps
    m, w = {None: (0.0, 0.0 * mu), "learned": (0.5, 0.0 * mu - 1.0)}.get(
        prior, conditional_prior().double().network(c)
    )
    for k in range(7):
        logits = model.decoder(z[k], c)
        log_p = torch.distributions.Bernoulli(logits=logits, validate_args=False).log_prob(x)
        want = log_p.sum(1) + Normal(m, (0.5 * w).exp()).log_prob(z[k]).sum(1)
        want = want - Normal(mu, (0.5 * logvar).exp()).log_prob(z[k]).sum(1)
        torch.testing.assert_close(found[k], want)


@pytest.mark.parametrize("prior", [False, True])
def test_every_method_is_told(prior: bool) -> None:
    model, (x, c) = make(prior=conditional_prior() if prior else None), double(X, C)
    mu, _ = model.encode(x, c)
    torch.testing.assert_close(model.reconstruct(x, c), model.decoder(mu, c).sigmoid())
    torch.testing.assert_close(model.decode(mu, c), model.decoder(mu, c).sigmoid())
    torch.manual_seed(0)
    bound = model.log_marginal_likelihood(x, 2000, condition=c, chunk_size=1000)
    elbo = model.elbo(x, 200, condition=c)
    iwae = objectives.importance_weighted(model, x, 200, condition=c, estimator="dreg")
    monte_carlo = objectives.monte_carlo_elbo(model, x, 200, condition=c)
    assert (elbo <= bound + 0.1).all()
    torch.testing.assert_close(iwae, bound, atol=0.3, rtol=0.0)
    torch.testing.assert_close(monte_carlo, elbo, atol=0.6, rtol=0.0)
    other = model.log_marginal_likelihood(x, 500, condition=c.roll(1, 0))
    assert not torch.allclose(other, bound, atol=1e-3)


def test_samples_are_of_their_conditions() -> None:
    """A decoder of the condition alone, and a prior that is nearly a point."""

    class OfCondition(nn.Module):
        def forward(self, z: Tensor, c: Tensor) -> Tensor:
            return 20.0 * z[:, :1] * (2.0 * c - 1.0)

    class Point(nn.Module):
        def forward(self, c: Tensor) -> tuple[Tensor, Tensor]:
            mu = c[:, :1].expand(-1, LATENT) + 1.0
            return mu, torch.full_like(mu, -20.0)

    prior = priors.ConditionalGaussian(Point())
    model = vk.VAE(ToldInTwo(PIXELS + LABELS, 2 * LATENT), OfCondition(), prior=prior)
    torch.testing.assert_close(model.sample(BATCH, condition=C), C, atol=1e-4, rtol=0.0)
    assert torch.equal(model.sample(BATCH, condition=C, mean=False), C)


def test_several_conditions() -> None:
    model, (x, c, context) = make(LABELS + 2), double(X, C, CONTEXT)
    for told in ((c, context), [c, context]):
        out = model(x, told, seed=1)
        joined = make(LABELS + 2)(x, torch.cat([c, context], 1), seed=1)
        torch.testing.assert_close(out.loss, joined.loss)
        assert model.sample(BATCH, condition=told).shape == (BATCH, PIXELS)
        bound = objectives.importance_weighted(model, x, 3, condition=told, chunk_size=1)
        assert bound.shape == (BATCH,)
    prior = conditional_prior(LABELS + 2).double()
    torch.testing.assert_close(prior(c, context).mu, prior(torch.cat([c, context], 1)).mu)


@pytest.mark.parametrize("shape", [(4, LABELS), (1, LABELS), ()])
def test_as_many_conditions_as_samples(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^condition: expected one for each of 5 samples"):
        make().sample(5, condition=torch.zeros(shape, dtype=torch.float64))


def test_a_conditional_prior_without_a_condition() -> None:
    model = make(prior=conditional_prior())
    with pytest.raises(ValueError, match=r"^condition: expected one, for ConditionalGaussian"):
        model.sample(3)


def test_a_prior_of_one_s_own() -> None:
    class Shifted(priors.ConditionalPrior):
        def forward(self, *condition: Tensor, batch_dims: int = 1) -> vk.posteriors.Posterior:
            mu = condition[0][..., :LATENT]
            return vk.posteriors.DiagonalGaussian(mu, 0.0 * mu, batch_dims=batch_dims)

    model, (x, c) = make(prior=Shifted()), double(X, C)
    mu, logvar = model.encoder(x, c)
    torch.testing.assert_close(model(x, c).kl, vk.gaussian_kl(mu, logvar, c[:, :LATENT], 0.0))
    assert Shifted().sample(c).shape == (BATCH, LATENT)
    assert Shifted().log_prob(mu, c).shape == (BATCH,)


def test_the_network_of_a_conditional_prior() -> None:
    with pytest.raises(TypeError, match=r"^network: expected a tuple \(mu, logvar\), got one"):
        priors.ConditionalGaussian(nn.Linear(3, 4))(torch.zeros(2, 3))
