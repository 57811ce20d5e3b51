"""Importance-weighted bounds and their gradient estimators, against a model in closed form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from linear_gaussian import (
    ESTIMATORS,
    LOGVAR,
    MU,
    UNBIASED,
    N,
    W,
    X,
    elbo,
    generator,
    log_evidence,
    log_joint,
    true_posterior,
    worst_z_score,
)
from torch import Tensor
from torch.distributions import Normal

from vaekern import objectives

BIASED = 8.0


def leaves(n: int, *tensors: Tensor) -> list[Tensor]:
    """A copy of each tensor for each of n estimates, so that each has gradients of its own."""
    return [t.expand(n, *t.shape).clone().requires_grad_() for t in tensors]


def gradients(estimator: str, num_samples: int, averaged: bool = False) -> list[Tensor]:
    """N estimates of the gradient of the bound with respect to mu, logvar and W."""
    mu, logvar, w = leaves(N, MU, LOGVAR, W)
    weights = objectives.log_weights(
        lambda z: log_joint(z, w), mu, logvar, num_samples, estimator=estimator, seed=5
    )
    bound = weights.mean(0) if averaged else objectives.importance_weighted_bound(weights)
    return list(torch.autograd.grad(bound.sum(), (mu, logvar, w)))


# --- the ELBO -------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_samples", [1, 3])
@pytest.mark.parametrize("estimator", ["iwae", "stl"])
def test_elbo_gradients_are_unbiased(estimator: str, num_samples: int) -> None:
    exact_at = [t.clone().requires_grad_() for t in (MU, LOGVAR, W)]
    exact = torch.autograd.grad(elbo(*exact_at), exact_at)
    for samples, expected in zip(gradients(estimator, num_samples, True), exact, strict=True):
        assert worst_z_score(samples, expected) < UNBIASED


def test_sampled_elbo_is_unbiased() -> None:
    weights = objectives.log_weights(log_joint, *leaves(N, MU, LOGVAR), seed=3)
    assert worst_z_score(weights[0].detach(), elbo(MU, LOGVAR)) < UNBIASED


# --- the importance-weighted bound ----------------------------------------------------------------


def expected_bound_of_two(mu: Tensor, logvar: Tensor, w: Tensor) -> Tensor:
    """E[log (w_1 + w_2) / 2] for a scalar z, x = w z + N(0, 1) at x = 1.3: by quadrature."""
    nodes, masses = np.polynomial.hermite_e.hermegauss(60)
    eps, mass = torch.from_numpy(nodes), torch.from_numpy(masses / masses.sum())
    z = mu + torch.exp(0.5 * logvar) * eps
    log_w = _scalar_log_joint(z, w) - Normal(mu, torch.exp(0.5 * logvar)).log_prob(z)
    bound = torch.logaddexp(log_w[:, None], log_w) - math.log(2.0)
    return (mass[:, None] * mass * bound).sum()


def _scalar_log_joint(z: Tensor, w: Tensor) -> Tensor:
    return Normal(w * z, 1.0).log_prob(torch.tensor(1.3)) + Normal(0.0, 1.0).log_prob(z)


@pytest.mark.parametrize(("estimator", "biased"), [("iwae", False), ("dreg", False), ("stl", True)])
def test_gradients_of_two_samples_against_quadrature(estimator: str, biased: bool) -> None:
    """The encoder's gradient of STL is biased for K > 1 (Tucker et al. 2019), the decoder's is
    right in all."""
    at = [torch.tensor(value, dtype=torch.float64) for value in (0.2, 0.3, 1.4)]
    mu, logvar, w = (t.clone().requires_grad_() for t in at)
    exact = torch.autograd.grad(expected_bound_of_two(mu, logvar, w), (mu, logvar, w))
    n = 5 * N
    own = leaves(n, *at)
    weights = objectives.log_weights(
        lambda z: _scalar_log_joint(z, own[2]), *own[:2], 2, estimator=estimator, seed=11
    )
    found = torch.autograd.grad(objectives.importance_weighted_bound(weights).sum(), own)
    scores = [worst_z_score(f, e) for f, e in zip(found, exact, strict=True)]
    assert scores[2] < UNBIASED
    assert max(scores[:2]) > BIASED if biased else max(scores[:2]) < UNBIASED


def test_bound_tightens_towards_the_evidence() -> None:
    mu, logvar = (t.expand(N, 2) for t in (MU, LOGVAR))
    means, errors = [], []
    for num_samples in (1, 2, 4, 16, 64):
        weights = objectives.log_weights(log_joint, mu, logvar, num_samples, seed=num_samples)
        bound = objectives.importance_weighted_bound(weights)
        means.append(bound.mean().item())
        errors.append(bound.std().item() / N**0.5)
    evidence = log_evidence().item()
    for k in range(1, len(means)):
        assert means[k] - means[k - 1] > 3.0 * math.hypot(errors[k], errors[k - 1])
        assert means[k] < evidence + 3.0 * errors[k]
    assert means[0] < elbo(MU, LOGVAR).item() + UNBIASED * errors[0]
    assert evidence - means[-1] < 0.1 * (evidence - means[0])


@pytest.mark.parametrize("num_samples", [1, 5])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_at_the_true_posterior(estimator: str, num_samples: int) -> None:
    """Every weight is p(x); STL and DReG have gradients without variance, 0."""
    mu, logvar = leaves(7, *true_posterior())
    weights = objectives.log_weights(log_joint, mu, logvar, num_samples, estimator=estimator)
    torch.testing.assert_close(weights, log_evidence().expand(num_samples, 7))
    bound = objectives.importance_weighted_bound(weights)
    found = torch.autograd.grad(bound.sum(), (mu, logvar))
    size = max(g.abs().max().item() for g in found)
    assert size > 1e-2 if estimator == "iwae" else size < 1e-12


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_gradient_is_the_formula(estimator: str) -> None:
    """Sample by sample: theta gets the normalised weights times that of log p(x, z), phi its path
    through z, with or without the score of q."""
    num_samples = 4
    eps = torch.randn(num_samples, 1, 2, dtype=torch.float64, generator=generator(1))
    mu, logvar, w = leaves(1, MU, LOGVAR, W)
    log_w = objectives.log_weights(
        lambda z: log_joint(z, w), mu, logvar, num_samples, estimator=estimator, eps=eps
    )
    bound = 2.5 * objectives.importance_weighted_bound(log_w).sum()
    found = torch.autograd.grad(bound, (mu, logvar, w))

    shares = torch.softmax(log_w.detach()[:, 0], 0)
    expected = [torch.zeros_like(t) for t in (mu, logvar, w)]
    for share, noise in zip(shares, eps[:, 0], strict=True):
        z = (MU + torch.exp(0.5 * LOGVAR) * noise).requires_grad_()
        own = [t.clone().requires_grad_() for t in (MU, LOGVAR, W)]
        log_q = Normal(own[0], torch.exp(0.5 * own[1])).log_prob(z).sum()
        log_p = log_joint(z, own[2])
        (by_z,) = torch.autograd.grad(log_p - log_q, z, retain_graph=True)
        score = torch.autograd.grad(log_q, own[:2])
        paths = (by_z, by_z * 0.5 * torch.exp(0.5 * LOGVAR) * noise)
        for k in range(2):
            if estimator == "iwae":
                expected[k] += share * (paths[k] - score[k])
            else:
                expected[k] += share ** (2 if estimator == "dreg" else 1) * paths[k]
        expected[2] += share * torch.autograd.grad(log_p, own[2])[0]
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f, 2.5 * e)


def test_dreg_where_no_gradient_arrives() -> None:
    mu, logvar = leaves(3, MU, LOGVAR)
    log_w = objectives.log_weights(log_joint, mu, logvar, 4, estimator="dreg", seed=1)
    bound = objectives.importance_weighted_bound(log_w)
    (found,) = torch.autograd.grad(bound[0], mu)
    assert found[0].abs().min() > 0.0
    assert torch.equal(found[1:], torch.zeros(2, 2, dtype=torch.float64))


def test_half_precision_is_weighed_in_single() -> None:
    got = []

    def joint(z: Tensor) -> Tensor:
        got.append(z.dtype)
        return -z.float().square().sum(-1)

    mu, logvar = leaves(3, MU.bfloat16(), LOGVAR.bfloat16())
    weights = objectives.log_weights(joint, mu, logvar, 2, estimator="dreg")
    assert got == [torch.bfloat16]
    assert weights.dtype is torch.float32
    found = torch.autograd.grad(objectives.importance_weighted_bound(weights).sum(), (mu, logvar))
    assert all(g.dtype is torch.bfloat16 and g.isfinite().all() for g in found)


def test_half_precision_does_not_round_the_sample_that_q_is_asked_about() -> None:
    """-log q(z) is (eps^2 + v + log 2 pi) / 2 wherever the mean is."""
    mu, logvar = torch.full((3, 1), 100.0).bfloat16(), torch.full((3, 1), -4.0).bfloat16()
    eps = torch.tensor([[[-1.5], [0.0], [0.7]]])
    found = objectives.log_weights(lambda z: torch.zeros(z.shape[:2]), mu, logvar, eps=eps)
    expected = 0.5 * (eps.square().sum(2) - 4.0 + math.log(2.0 * math.pi))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_seeds_and_generators() -> None:
    first = objectives.log_weights(log_joint, MU[None], LOGVAR[None], 3, generator=generator(1))
    again = objectives.log_weights(log_joint, MU[None], LOGVAR[None], 3, generator=generator(1))
    other = objectives.log_weights(log_joint, MU[None], LOGVAR[None], 3, generator=generator(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len(first.unique()) == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_samples": 0}, ValueError, "num_samples: expected at least 1, got 0"),
        ({"chunk_size": 0}, ValueError, "chunk_size: expected at least 1, got 0"),
        ({"estimator": "vimco"}, ValueError, "estimator.*'iwae', 'stl', 'dreg'.*'vimco'"),
        ({"log_joint": lambda z: z}, ValueError, r"log_joint.*\(2, 1\).*\(2, 1, 2\)"),
        ({"logvar": LOGVAR}, ValueError, "logvar"),
        ({"scale": "var"}, ValueError, "scale.*'var'"),
        ({"eps": torch.zeros(1, 2)}, ValueError, r"eps.*\(2, 1, 2\).*\(1, 2\)"),
        ({"seed": 1, "generator": torch.Generator()}, ValueError, "seed and generator"),
        ({"mu": MU[None].long()}, TypeError, "mu.*int64"),
    ],
)
def test_errors_of_weights(options: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"log_joint": log_joint, "mu": MU[None], "logvar": LOGVAR[None], "num_samples": 2}
    with pytest.raises(error, match=message):
        objectives.log_weights(**{**arguments, **options})


def test_the_model_is_orthogonal() -> None:
    """What the closed forms rely on."""
    assert abs((W[:, 0] * W[:, 1]).sum().item()) < 1e-12
    mu, logvar = true_posterior()
    torch.testing.assert_close(elbo(mu, logvar), log_evidence())
    assert X.shape == (4,)
