"""Likelihoods against torch.distributions, per datapoint, and the modules around them."""

from __future__ import annotations

import math
from collections.abc import Callable

import backends
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, distributions

import vaekern as vk


def _random(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    parameter = 2.0 * torch.randn(5, 40, generator=generator, dtype=torch.float64)
    return parameter, torch.rand(5, 40, generator=generator, dtype=torch.float64)


LAPLACE = distributions.Laplace
STUDENT_T = distributions.StudentT
CONTINUOUS_BERNOULLI = distributions.ContinuousBernoulli


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (
            lambda p, x: vk.laplace_log_likelihood(p, x, -0.3),
            lambda p: LAPLACE(p, math.exp(-0.3)),
        ),
        (
            lambda p, x: vk.student_t_log_likelihood(p, x, 0.4, 0.7),
            lambda p: STUDENT_T(0.7, p, math.exp(0.4)),
        ),
        (
            lambda p, x: vk.student_t_log_likelihood(p, x, 0.4, 300.0),
            lambda p: STUDENT_T(300.0, p, math.exp(0.4)),
        ),
        (
            vk.continuous_bernoulli_log_likelihood,
            # theirs is a Taylor polynomial around a logit of 0
            lambda p: CONTINUOUS_BERNOULLI(logits=p, lims=(0.4999, 0.5001)),
        ),
    ],
    ids=["laplace", "student_t heavy", "student_t light", "continuous_bernoulli"],
)
def test_they_are_those_of_torch(
    ours: Callable[[Tensor, Tensor], Tensor],
    theirs: Callable[[Tensor], distributions.Distribution],
    implementation: str,
) -> None:
    parameter, x = _random(1)
    torch.testing.assert_close(
        ours(parameter, x), theirs(parameter).log_prob(x).sum(1), rtol=1e-9, atol=1e-9
    )


def test_the_bernoulli_of_probabilities_is_the_cross_entropy(implementation: str) -> None:
    """With its derivatives, at 0 and 1 and where torch clamps, too."""
    ends = [0.0, 1.0, 1e-45, 1e-30, 1e-13, 1e-7, 1.0 - 2.0**-24, 0.29, 0.5, 0.9]
    probabilities, targets = torch.tensor(ends), torch.tensor([0.0, 0.25, 1.0])
    grid = torch.meshgrid(probabilities, targets, indexing="ij")
    inputs = [backends.put(t.flatten()).requires_grad_() for t in grid]
    elements = vk.bernoulli_probs_log_likelihood(*inputs)
    want = -F.binary_cross_entropy(*inputs, reduction="none")
    upstream = torch.linspace(-2.0, 3.0, len(want), device=want.device)
    got = torch.autograd.grad(elements, inputs, upstream)
    torch.testing.assert_close(elements, want)
    torch.testing.assert_close(got, torch.autograd.grad(want, inputs, upstream))


@pytest.mark.parametrize("log_dispersion", [-1.0, 3.0, 30.0])
def test_counts_are_those_of_torch(log_dispersion: float, implementation: str) -> None:
    """In float64; a negative binomial of little dispersion is a Poisson."""
    parameter, uniform = _random(2)
    x = (30.0 * uniform).floor()
    poisson = distributions.Poisson(parameter.exp()).log_prob(x).sum(1)
    torch.testing.assert_close(vk.poisson_log_likelihood(parameter, x), poisson)
    theta = math.exp(log_dispersion)
    count = distributions.NegativeBinomial(theta, logits=parameter - log_dispersion)
    want = poisson if log_dispersion == 30.0 else count.log_prob(x).sum(1)
    got = vk.negative_binomial_log_likelihood(parameter, x, log_dispersion)
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_counts_have_probabilities_that_sum_to_one(implementation: str) -> None:
    x = torch.arange(3000.0)[:, None]
    log_mean = torch.full_like(x, math.log(40.0))
    for log_probability in (
        vk.poisson_log_likelihood(log_mean, x),
        vk.negative_binomial_log_likelihood(log_mean, x, 0.5),
        vk.zero_inflated_negative_binomial_log_likelihood(log_mean, x, 0.5, -1.0),
    ):
        total = log_probability.double().exp().sum().item()
        assert total == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("logit", [0.0, 1e-8, 1e-3, 0.9, 1.1, 3.99, 4.01, 16.0, 17.0, 90.0])
def test_a_continuous_bernoulli_integrates_to_one(logit: float) -> None:
    """Where torch's is wrong, too: beyond a logit of 16 and around 0."""
    # The density falls off within 1 / logit.
    x = torch.linspace(0.0, 1.0, 40_001, dtype=torch.float32)[:, None]
    for sign in (1.0, -1.0):
        logits = torch.full_like(x, sign * logit)
        density = vk.continuous_bernoulli_log_likelihood(logits, x).double().exp()
        total = torch.trapezoid(density, x[:, 0].double()).item()
        assert total == pytest.approx(1.0, abs=1e-5)


def test_the_laplace_module() -> None:
    likelihood = vk.LaplaceLikelihood(torch.tensor([0.5, -0.5]), learned=True)
    assert [name for name, _ in likelihood.named_parameters()] == ["log_scale"]
    loc, x = torch.randn(3, 2, 4), torch.randn(3, 2, 4)
    scale = torch.tensor([0.5, -0.5]).exp()[:, None].expand(3, 2, 4)
    want = distributions.Laplace(loc, scale).log_prob(x).sum((1, 2))
    got = likelihood.log_prob(loc, x)
    torch.testing.assert_close(got, want)
    got.sum().backward()
    assert likelihood.log_scale.grad is not None
    assert likelihood.mean(loc) is loc


def test_laplace_samples() -> None:
    loc = torch.full((2, 3, 100_000), 1.5)
    likelihood = vk.LaplaceLikelihood(torch.tensor([0.0, 1.0, -1.0]))
    generator = torch.Generator().manual_seed(7)
    deviations = (likelihood.sample(loc, generator) - 1.5).abs()
    torch.testing.assert_close(
        deviations.mean((0, 2)), torch.tensor([0.0, 1.0, -1.0]).exp(), rtol=0.02, atol=0.0
    )


def test_laplace_by_name() -> None:
    loc, x, mu = torch.randn(4, 6), torch.randn(4, 6), torch.randn(4, 2)
    got = vk.elbo_loss(loc, x, mu, mu, "laplace")
    want = (vk.gaussian_kl(mu, mu) - vk.laplace_log_likelihood(loc, x)).mean()
    torch.testing.assert_close(got, want)


COUNTED = {
    "poisson": vk.PoissonLikelihood(),
    "negative_binomial": vk.NegativeBinomialLikelihood(),
    "zero_inflated": vk.ZeroInflatedNegativeBinomialLikelihood(torch.tensor([0.0, 2.0])),
}


@pytest.mark.parametrize("name", COUNTED)
def test_samples_of_counts(name: str) -> None:
    """Their means, and that they are likelier under their own distribution."""
    likelihood, log_mean = COUNTED[name], torch.tensor([0.5, 3.0]).repeat(100_000, 1)
    output = (log_mean, torch.zeros_like(log_mean)) if name == "zero_inflated" else log_mean
    x = likelihood.sample(output, torch.Generator().manual_seed(3))
    mean = likelihood.mean(output)
    torch.testing.assert_close(x.mean(0), mean[0], rtol=0.03, atol=0.0)
    other = (output[0] + 0.3, output[1]) if name == "zero_inflated" else log_mean + 0.3
    own, others = (likelihood.log_prob(o, x).mean().item() for o in (output, other))
    assert own > others


def test_the_negative_binomial_module() -> None:
    likelihood = vk.NegativeBinomialLikelihood(torch.tensor([0.5, -0.5]), learned=True)
    log_mean, x = torch.randn(3, 2), torch.tensor([[0.0, 3.0]]).repeat(3, 1)
    want = vk.negative_binomial_log_likelihood(log_mean, x, torch.tensor([0.5, -0.5]))
    got = likelihood.log_prob(log_mean, x)
    torch.testing.assert_close(got, want)
    want = vk.negative_binomial_log_likelihood(log_mean, x, log_mean)
    torch.testing.assert_close(likelihood.log_prob((log_mean, log_mean), x), want)
    got.sum().backward()
    assert likelihood.log_dispersion.grad is not None


@pytest.mark.parametrize("name", ["poisson", "negative_binomial"])
def test_counts_by_name(name: str) -> None:
    log_mean, x, mu = torch.randn(4, 6), torch.arange(24.0).reshape(4, 6), torch.randn(4, 2)
    loss = vk.elbo_loss(log_mean, x, mu, mu, name)
    arguments = () if name == "poisson" else (0.0,)
    own = getattr(vk, f"{name}_log_likelihood")(log_mean, x, *arguments)
    torch.testing.assert_close(loss, (vk.gaussian_kl(mu, mu) - own).mean())
