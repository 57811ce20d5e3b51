"""Posteriors and priors over classes: against torch.distributions, by enumeration, and samples
against what is known of their distribution."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from linear_gaussian import UNBIASED, worst_z_score
from loss_problem import F64, normal
from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    Independent,
    Normal,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
    RelaxedOneHotCategorical,
    kl_divergence,
)

import vaekern as vk
from vaekern import objectives, posteriors, priors
from vaekern.posteriors import Categorical, DiagonalGaussian, Product, RelaxedCategorical

B, V, K = 3, 2, 5  # datapoints, variables, classes
MIXTURES = (0.0, 0.1)


def logits(seed: int = 0, *batch: int) -> Tensor:
    return (2.0 * normal(*(batch or (B,)), V, K, seed=seed)).requires_grad_()


def torchs(raw: Tensor, unimix: float = 0.0) -> Independent:
    probs = (1.0 - unimix) * torch.softmax(raw, -1) + unimix / K
    return Independent(OneHotCategorical(probs=probs), 1)


def agree(found: Tensor, expected: Tensor, leaves: list[Tensor]) -> None:
    torch.testing.assert_close(found, expected)
    weights = normal(*found.shape, seed=99)
    torch.testing.assert_close(
        torch.autograd.grad((weights * found).sum(), leaves, retain_graph=True),
        torch.autograd.grad((weights * expected).sum(), leaves, retain_graph=True),
    )


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


# --- relaxed ones ---------------------------------------------------------------------------------

TEMPERATURE = 0.7


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


# --- torch's classes ------------------------------------------------------------------------------


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


# --- in models ------------------------------------------------------------------------------------

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


mixed = functools.partial(Categorical, unimix=0.01)
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


def test_bounds_of_relaxed_ones() -> None:
    q = RelaxedCategorical(logits().detach(), TEMPERATURE)
    for estimator in ("iwae", "stl", "dreg"):
        weights = objectives.posterior_log_weights(
            lambda z: q.expand(z.shape[0]).log_prob(z), q, 6, estimator=estimator, seed=1
        )
        torch.testing.assert_close(weights, torch.zeros(6, B, dtype=F64))


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
