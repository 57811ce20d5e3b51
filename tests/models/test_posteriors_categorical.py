"""Posteriors and priors over classes: against torch.distributions, samples against what is known of
their distribution, torch's own classes, and errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from categorical_latents import B, K, V, agree, logits, torchs
from linear_gaussian import UNBIASED, worst_z_score
from loss_problem import F64, normal
from torch import nn
from torch.distributions import (
    Distribution,
    Independent,
    Normal,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
    kl_divergence,
)

from vaekern import posteriors, priors
from vaekern.posteriors import Categorical, RelaxedCategorical

MIXTURES = (0.0, 0.1)


@pytest.mark.parametrize("unimix", MIXTURES)
def test_densities_moments_and_divergences(unimix: float) -> None:
    raw, other = logits(), logits(1)
    q, expected = Categorical(raw, unimix=unimix), torchs(raw, unimix)
    z = expected.sample()
    agree(q.log_prob(z), expected.log_prob(z), [raw])
    agree(q.entropy(), expected.entropy(), [raw])
    agree(q.mean, expected.mean, [raw])
    torch.testing.assert_close(q.stddev, expected.stddev)
    assert torch.equal(q.mode, expected.mode)
    assert torch.equal(q.location, q.mode)
    assert (q.latent_shape, q.probs.shape) == ((V, K), (B, V, K))
    for its in MIXTURES:
        p = Categorical(other, unimix=its)
        agree(q.kl(p), kl_divergence(expected, torchs(other, its)), [raw, other])
    uniform = Independent(OneHotCategorical(logits=torch.zeros(B, V, K, dtype=F64)), 1)
    agree(q.kl(priors.UniformCategorical((V, K))), kl_divergence(expected, uniform), [raw])


@pytest.mark.parametrize("unimix", MIXTURES)
def test_samples(unimix: float) -> None:
    """They are one-hot, as likely as they should be, and have the derivatives of probabilities."""
    raw = logits()
    q = Categorical(raw, unimix=unimix)
    z = q.expand(20_000).sample(seed=1)
    assert set(z.unique().tolist()) == {0.0, 1.0}
    assert (z.sum(-1) == 1.0).all()
    assert worst_z_score(z, q.probs) < UNBIASED
    first, second = q.mode[0].argmax(-1)
    together = z[:, 0, 0, first] * z[:, 0, 1, second]  # variables are independent
    assert worst_z_score(together, q.probs[0, 0, first] * q.probs[0, 1, second]) < UNBIASED
    weights = normal(B, V, K, seed=3)
    found, expected = (
        torch.autograd.grad((weights * t).sum(), raw)[0] for t in (q.rsample(seed=2), q.probs)
    )
    torch.testing.assert_close(found, expected)
    assert torch.equal(q.rsample(seed=4), q.rsample(seed=4))


def test_classes_that_are_impossible() -> None:
    raw = torch.tensor([[[0.0, -math.inf, 1.0]]], dtype=F64, requires_grad=True)
    q = Categorical(raw)
    z = torch.tensor([[[0.0, 0.0, 1.0]]], dtype=F64)
    expected = torch.log_softmax(raw[..., [0, 2]].detach(), -1)
    torch.testing.assert_close(q.log_prob(z), expected[0, :, 1])
    torch.testing.assert_close(q.entropy(), -(expected.exp() * expected).sum((1, 2)))
    assert q.log_prob(torch.tensor([[[0.0, 1.0, 0.0]]], dtype=F64)).item() == -math.inf
    assert torch.autograd.grad(q.log_prob(z).sum(), raw)[0].isfinite().all()
    mixed = Categorical(raw, unimix=0.3).log_prob(torch.tensor([[[0.0, 1.0, 0.0]]], dtype=F64))
    torch.testing.assert_close(mixed, torch.tensor([math.log(0.1)], dtype=F64))


def test_priors() -> None:
    learned = priors.LearnedCategorical((V, K), unimix=0.2).double()
    with torch.no_grad():
        learned.logits.copy_(normal(V, K, seed=5))
    q = Categorical(logits(), unimix=0.1)
    expected = Categorical(learned.logits.expand(B, V, K), unimix=0.2)
    torch.testing.assert_close(q.kl(learned), q.kl(expected))
    z = q.sample(seed=1)
    torch.testing.assert_close(learned.log_prob(z), expected.log_prob(z))
    uniform = priors.UniformCategorical((V, K)).double()
    torch.testing.assert_close(uniform.log_prob(z), torch.full((B,), -V * math.log(K), dtype=F64))
    for prior, probs in ((learned, expected.probs[0]), (uniform, torch.full((V, K), 1.0 / K))):
        drawn = prior.sample(20_000, generator=torch.Generator().manual_seed(1))
        assert not drawn.requires_grad
        assert worst_z_score(drawn, probs.detach()) < UNBIASED
    network = nn.Sequential(nn.Linear(4, V * K), nn.Unflatten(-1, (V, K))).double()
    conditional = priors.ConditionalCategorical(network, unimix=0.2)
    c = normal(B, 4)
    torch.testing.assert_close(conditional.log_prob(z, c), conditional(c).log_prob(z))
    torch.testing.assert_close(q.kl(conditional(c)), q.kl(Categorical(network(c), unimix=0.2)))
    assert conditional.sample(c).shape == (B, V, K)


@pytest.mark.parametrize("torchs_own", [OneHotCategorical, OneHotCategoricalStraightThrough])
def test_to_and_from_torch(torchs_own: type[Distribution]) -> None:
    raw = logits()
    q = Categorical.of(Independent(torchs_own(logits=raw), 1))
    agree(q.probs, Categorical(raw).probs, [raw])
    mixed = Categorical(raw, unimix=0.1)
    d = mixed.distribution()
    assert isinstance(d.base_dist, OneHotCategoricalStraightThrough)
    assert (d.batch_shape, d.event_shape) == ((B,), (V, K))
    z = d.rsample()
    agree(d.log_prob(z.detach()), mixed.log_prob(z.detach()), [raw])
    agree(kl_divergence(d, torchs(raw.detach())), mixed.kl(q.detach()), [raw])
    with pytest.raises(TypeError, match=r"distribution: .*Normal"):
        Categorical.of(Normal(raw, 1.0))


def test_the_classes_in_the_place_of_torch_s() -> None:
    raw, other = logits(), logits(1)
    ours = posteriors.OneHotCategorical(logits=raw)
    straight = posteriors.OneHotCategoricalStraightThrough(logits=raw)
    theirs, p = OneHotCategorical(logits=raw), OneHotCategorical(logits=other)
    expected = kl_divergence(theirs, p)
    pairs = [(ours, p), (straight, p), (ours, posteriors.OneHotCategorical(logits=other))]
    for one, two in pairs:
        agree(kl_divergence(one, two), expected, [raw, other])
    torch.testing.assert_close(kl_divergence(p, ours), kl_divergence(p, theirs))
    of_probs = posteriors.OneHotCategorical(probs=torch.softmax(raw, -1))
    torch.testing.assert_close(kl_divergence(of_probs, p), expected)
    assert isinstance(straight, OneHotCategoricalStraightThrough)
    assert not ours.has_rsample
    assert straight.has_rsample
    z = straight.rsample((20_000,))
    assert (z.shape, ours.sample((2,)).requires_grad) == ((20_000, B, V, K), False)
    assert worst_z_score(z.detach(), theirs.probs.detach()) < UNBIASED
    weights = normal(B, V, K, seed=3)
    found = torch.autograd.grad((weights * z[0]).sum(), raw)[0]
    torch.testing.assert_close(found, torch.autograd.grad((weights * theirs.probs).sum(), raw)[0])
    torch.testing.assert_close(ours.log_prob(z[0].detach()), theirs.log_prob(z[0].detach()))
    assert type(straight.expand((2, B, V))) is posteriors.OneHotCategoricalStraightThrough


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Categorical(torch.ones(2)), ValueError, "batch_dims"),
        (lambda: Categorical(torch.ones(2, 3).long()), TypeError, "logits: "),
        (lambda: Categorical(torch.ones(2, 3), unimix=1.0), ValueError, "unimix: .*got 1"),
        (lambda: one_hots().kl(), ValueError, r"prior: .*one-hot vectors.*N\(0, I\)"),
        (lambda: one_hots().kl(priors.UniformCategorical((4,))), ValueError, r"prior: .*\(4,\)"),
        (lambda: one_hots().kl(priors.RelaxedCategorical(3, 0.5)), ValueError, "prior: .*simplex"),
        (lambda: one_hots().log_prob(torch.ones(2, 4)), ValueError, r"z: .*\(2, 4\)"),
        (lambda: one_hots().rsample(eps=torch.ones(2, 3)), ValueError, "eps: expected None"),
        (lambda: RelaxedCategorical(torch.ones(2, 3), 0.5).kl(), ValueError, "prior: .*simplex"),
        (
            lambda: RelaxedCategorical(torch.ones(2, 3), 0.5).kl(priors.RelaxedCategorical(3, 0.5)),
            NotImplementedError,
            "kl: no closed form",
        ),
        (lambda: priors.UniformCategorical(()), ValueError, "latent_shape: "),
        (lambda: priors.LearnedCategorical(3, unimix=-0.1), ValueError, "unimix: "),
        (lambda: priors.LearnedCategorical(3).log_prob(torch.ones(2, 4)), ValueError, "z: "),
        (lambda: priors.ConditionalCategorical(torch.ones), TypeError, "network: "),  # type: ignore[arg-type]
    ],
)
def test_errors(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def one_hots() -> Categorical:
    return Categorical(torch.zeros(2, 3))
