"""The discretized logistic likelihood against its definition, and the module around it."""

from __future__ import annotations

import math

import backends
import numpy as np
import pytest
import torch
from scipy.stats import logistic
from torch import Tensor

import vaekern as vk

INF, NAN = math.inf, math.nan
LEVELS = torch.arange(256, dtype=torch.uint8)


def test_it_is_the_difference_of_the_cdf(implementation: str) -> None:
    """Where that difference does not cancel."""
    loc, log_scale = torch.meshgrid(
        torch.linspace(-1.2, 1.2, 5, dtype=torch.float64),
        torch.tensor([-5.0, -2.0, 1.0], dtype=torch.float64),
        indexing="ij",
    )
    shape = (*loc.shape, 256)
    ends = np.linspace(-1.0, 1.0, 256)[1:] - 1.0 / 255.0
    distribution = logistic(loc.numpy()[..., None], np.exp(log_scale.numpy())[..., None])
    edges = np.zeros((*shape[:2], 1)), np.ones((*shape[:2], 1))
    below = np.concatenate([edges[0], distribution.cdf(ends), edges[1]], -1)
    x, loc, log_scale = (
        t.expand(shape).to(backends.device) for t in (LEVELS, loc[..., None], log_scale[..., None])
    )
    got = vk.discretized_logistic_log_likelihood(loc, x, log_scale, batch_dims=3)
    np.testing.assert_allclose(got.exp().cpu().numpy(), np.diff(below), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("log_scale", [-30.0, -7.0, -4.0, 0.0, 3.0, 60.0])
@pytest.mark.parametrize("loc", [-5.0, -0.9999, 0.1, 0.57, 30.0])
def test_all_levels_together_are_certain(loc: float, log_scale: float) -> None:
    locs = torch.full((256,), loc)
    got = vk.discretized_logistic_log_likelihood(locs, LEVELS, log_scale).double()
    assert (got <= 0.0).all()
    # Two levels share what lies between them, and float32 holds loc to 1e-7 of the scale.
    assert got.exp().sum().item() == pytest.approx(1.0, abs=1e-6)


def test_bytes_and_floats_are_the_same_levels(implementation: str) -> None:
    loc, x = torch.randn(2, 256, device=backends.device), LEVELS.expand(2, 256)
    x = x.to(backends.device)
    got = vk.discretized_logistic_log_likelihood(loc, 2.0 * x.float() / 255.0 - 1.0, -2.0)
    torch.testing.assert_close(got, vk.discretized_logistic_log_likelihood(loc, x, -2.0))


# loc, x, log_scale, then the value and the gradients of loc and log_scale
LIMITS = (
    ((0.1, 0.1, -INF), (0.0, 0.0, 0.0)),
    ((0.1, 0.1, -200.0), (0.0, 0.0, 0.0)),
    ((0.5, 0.1, -INF), (-INF, -INF, INF)),
    ((-0.5, 0.1, -200.0), (-INF, INF, INF)),
    ((0.0, 1.0, -INF), (-INF, INF, INF)),
    ((2.0, 1.0, -INF), (0.0, 0.0, 0.0)),
    ((0.0, -1.0, -INF), (-INF, -INF, INF)),
    ((-2.0, -1.0, -INF), (0.0, 0.0, 0.0)),
    ((0.1, 0.1, 1e4), (-1e4 - math.log(510.0), 0.0, -1.0)),
    ((0.1, -1.0, 1e4), (-math.log(2.0), 0.0, 0.0)),
    ((0.1, 0.1, INF), (-INF, 0.0, -1.0)),
    ((INF, 1.0, 0.0), (0.0, 0.0, None)),  # log_scale: the limit, but NaN in the reference
    ((-INF, -1.0, 0.0), (0.0, 0.0, None)),
    ((INF, 0.1, 0.0), (-INF, -1.0, None)),
    ((-INF, 1.0, 0.0), (-INF, 1.0, None)),
    ((1e30, 0.1, 0.0), (-1e30, -1.0, 1e30)),
    ((1.0, 1.0, -20.0), (0.0, 0.0, 0.0)),
    ((NAN, 0.1, 0.0), (NAN, NAN, NAN)),
    ((0.1, NAN, 0.0), (NAN, NAN, NAN)),
    ((0.1, 0.1, NAN), (NAN, NAN, NAN)),
)


@pytest.mark.parametrize(("numbers", "want"), LIMITS, ids=str)
def test_limits(
    numbers: tuple[float, ...], want: tuple[float | None, ...], implementation: str
) -> None:
    loc, x, log_scale = (torch.tensor([t], device=backends.device) for t in numbers)
    leaves = [loc.requires_grad_(), log_scale.requires_grad_()]
    value = vk.discretized_logistic_log_likelihood(loc, x, log_scale)
    for got, exact in zip([value, *torch.autograd.grad(value, leaves)], want, strict=True):
        if exact is not None:
            assert got.item() == pytest.approx(exact, rel=1e-5, abs=1e-6, nan_ok=True)


# --- the module -----------------------------------------------------------------------------------


def _images() -> tuple[Tensor, Tensor]:
    return 0.3 * torch.randn(4, 3, 6, 6), torch.randint(0, 256, (4, 3, 6, 6), dtype=torch.uint8)


def test_the_module() -> None:
    likelihood = vk.DiscretizedLogisticLikelihood(torch.tensor([-1.0, -2.0, 0.0]), learned=True)
    assert [name for name, _ in likelihood.named_parameters()] == ["log_scale"]
    loc, x = _images()
    log_scale = torch.randn(loc.shape)
    got = likelihood.log_prob(loc, x)
    want = vk.discretized_logistic_log_likelihood(loc, x, torch.tensor([-1.0, -2.0, 0.0]))
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(
        likelihood.log_prob((loc, log_scale), x),
        vk.discretized_logistic_log_likelihood(loc, x, log_scale),
    )
    mu = torch.randn(4, 2)
    loss = vk.elbo_loss(loc, x, mu, mu, likelihood)
    torch.testing.assert_close(loss, (vk.gaussian_kl(mu, mu) - want).mean())


@pytest.mark.parametrize(("loc", "log_scale"), [(0.1, -2.0), (0.9, -1.5), (-1.3, -0.5)])
def test_samples_and_mean(loc: float, log_scale: float) -> None:
    """Frequencies of the levels are the probabilities."""
    likelihood = vk.DiscretizedLogisticLikelihood(log_scale)
    locs = torch.full((1, 200_000), loc)
    samples = likelihood.sample(locs, torch.Generator().manual_seed(7))
    levels = (127.5 * (samples + 1.0)).round()
    torch.testing.assert_close(samples, levels / 127.5 - 1.0)
    found = torch.bincount(levels.flatten().long(), minlength=256) / levels.numel()
    log_p = vk.discretized_logistic_log_likelihood(torch.full((256,), loc), LEVELS, log_scale,
                                                   batch_dims=1)  # fmt: skip
    noise = 5.0 * (log_p.exp() / levels.numel()).sqrt() + 1e-4
    assert ((found - log_p.exp()).abs() <= noise).all()
    exact = (log_p.exp() * (LEVELS / 127.5 - 1.0)).sum()
    torch.testing.assert_close(likelihood.mean(locs)[0, 0], exact, rtol=0.0, atol=1e-3)
