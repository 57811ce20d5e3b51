"""Relaxed posteriors and priors over classes: densities, samples, divergences and bounds."""

from __future__ import annotations

import torch
from categorical_latents import TEMPERATURE, B, K, V, agree, logits
from linear_gaussian import UNBIASED, worst_z_score
from loss_problem import F64, normal
from torch import Tensor
from torch.distributions import RelaxedOneHotCategorical

from vaekern import objectives, priors
from vaekern.posteriors import Categorical, RelaxedCategorical


def test_relaxed_densities_are_those_of_torch() -> None:
    raw = logits()
    temperature = torch.tensor(TEMPERATURE, dtype=F64, requires_grad=True)
    q = RelaxedCategorical(raw, temperature)
    z = q.sample(seed=1).requires_grad_()
    expected = RelaxedOneHotCategorical(temperature, logits=raw, validate_args=False)
    agree(q.log_prob(z), expected.log_prob(z).sum(1), [raw, temperature, z])
    drawn, log_prob = q.sample_with_log_prob(seed=1)
    torch.testing.assert_close(drawn, z)
    torch.testing.assert_close(log_prob, q.log_prob(z))


def test_relaxed_samples_and_their_derivatives() -> None:
    """By their seed: E[z] moves as it should with the logits and the temperature."""
    raw = logits()
    parameters = raw.detach().requires_grad_(), torch.tensor(TEMPERATURE, dtype=F64)
    q = RelaxedCategorical(*parameters)
    z = q.expand(2_000).rsample(seed=1)
    torch.testing.assert_close(z.sum(-1), torch.ones(2_000, B, V, dtype=F64))
    nearest = Categorical(raw).probs.detach()
    hit = torch.nn.functional.one_hot(z.argmax(-1), K).double()
    assert worst_z_score(hit, nearest) < UNBIASED

    def shifted(by: float) -> Tensor:
        moved = raw.detach().clone()
        moved[0, 0, 0] += by
        return RelaxedCategorical(moved, TEMPERATURE).rsample(seed=5)[0, 0]

    slope = (shifted(1e-6) - shifted(-1e-6)) / 2e-6
    weights = normal(K, seed=3)
    own = torch.autograd.grad((q.rsample(seed=5)[0, 0] * weights).sum(), parameters[0])[0][0, 0, 0]
    torch.testing.assert_close(own, (slope * weights).sum(), rtol=1e-6, atol=1e-8)


def test_divergences_of_relaxed_ones() -> None:
    """Estimated with densities, to relaxed priors; the categorical one, to priors over classes."""
    raw = logits()
    q = RelaxedCategorical(raw, TEMPERATURE)
    uniform, relaxed = priors.UniformCategorical((V, K)), priors.RelaxedCategorical((V, K), 0.5)
    torch.testing.assert_close(q.kl(uniform), Categorical(raw).kl(uniform))
    z, kl = q.sample_with_kl(relaxed.double(), seed=1)
    torch.testing.assert_close(kl, q.log_prob(z) - relaxed.log_prob(z))
    same = priors.RelaxedCategorical((V, K), TEMPERATURE, learned=True).double()
    with torch.no_grad():
        same.logits.copy_(raw[0])
    _, nothing = RelaxedCategorical(raw[:1], TEMPERATURE).sample_with_kl(same, seed=2)
    torch.testing.assert_close(nothing, torch.zeros(1, dtype=F64))
    drawn = relaxed.sample(4)
    torch.testing.assert_close(drawn.sum(-1), torch.ones(4, V, dtype=F64))
    hard = RelaxedCategorical(raw, TEMPERATURE, hard=True)
    z = hard.rsample(seed=1)
    assert set(z.detach().unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(hard.log_prob(z), Categorical(raw).log_prob(z))
    torch.testing.assert_close(hard.kl(uniform), Categorical(raw).kl(uniform))


def test_rearrangements() -> None:
    raw = logits()
    for q in (Categorical(raw, unimix=0.1), RelaxedCategorical(raw, TEMPERATURE)):
        z = q.expand(4).rsample(seed=1)
        assert z.shape == (4, B, V, K)
        assert q.expand(4).log_prob(z).shape == (4, B)
        still = q.detach().log_prob(z[0].detach().requires_grad_())
        assert torch.autograd.grad(still.sum(), raw, allow_unused=True) == (None,)
        half = q.map(torch.Tensor.bfloat16)
        z, kl = half.sample_with_kl(priors.UniformCategorical((V, K)), seed=1)
        assert (z.dtype, kl.dtype) == (torch.bfloat16, torch.float32)
        found = torch.func.vmap(lambda t, q=q: q.map(lambda _: t))(raw.detach().expand(6, B, V, K))
        assert (found.batch_dims, found.latent_shape) == (2, (V, K))


def test_bounds_of_relaxed_ones() -> None:
    q = RelaxedCategorical(logits().detach(), TEMPERATURE)
    for estimator in ("iwae", "stl", "dreg"):
        weights = objectives.posterior_log_weights(
            lambda z: q.expand(z.shape[0]).log_prob(z), q, 6, estimator=estimator, seed=1
        )
        torch.testing.assert_close(weights, torch.zeros(6, B, dtype=F64))
