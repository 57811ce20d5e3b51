"""Gradients where the value is finite and something on the way is not: limits, on all backends."""

from __future__ import annotations

import math

import backends
import pytest
import torch

import vaekern as vk
from vaekern import posteriors

INF = math.inf


def _zero_inflated(*numbers: float) -> tuple[float, list[float]]:
    leaves = [torch.tensor([t], device=backends.device, requires_grad=True) for t in numbers]
    log_mean, log_dispersion, zero_logits, x = leaves
    value = vk.zero_inflated_negative_binomial_log_likelihood(
        log_mean, x, log_dispersion, zero_logits
    )
    return value.item(), [g.item() for g in torch.autograd.grad(value, leaves)]


@pytest.mark.table
@pytest.mark.parametrize("zero_logits", [-200.0, -30.0, -1.0, 0.0, 1.0, 30.0, 200.0])
@pytest.mark.parametrize(
    ("log_mean", "log_dispersion"),
    [
        (90.0, 90.0),
        (90.0, 200.0),
        (200.0, 90.0),
        (1e4, 1e4),
        (90.0, INF),
        (INF, 90.0),
        (12.0, 90.0),
    ],
)
def test_zeros_that_the_counts_cannot_be(
    log_mean: float, log_dispersion: float, zero_logits: float, implementation: str
) -> None:
    """p(0) of the counts is 0: log p is that of the additional zeros, log s, whose derivative is
    1 - s."""
    value, gradients = _zero_inflated(log_mean, log_dispersion, zero_logits, 0.0)
    log_share = -math.log1p(math.exp(-zero_logits))
    assert value == pytest.approx(log_share, rel=1e-5)
    of_mean, of_dispersion, of_logits, _ = gradients
    assert of_mean == 0.0
    assert of_dispersion == 0.0
    assert of_logits == pytest.approx(1.0 / (1.0 + math.exp(zero_logits)), rel=1e-5, abs=1e-37)


@pytest.mark.parametrize("zero_logits", [-3.0, 0.0, 3.0])
@pytest.mark.parametrize("log_mean", [-90.0, -3.0, 0.0, 2.0])
def test_zeros_that_they_can_be(log_mean: float, zero_logits: float, implementation: str) -> None:
    """Of a Poisson count, theta being infinite: p(0) = s + (1 - s) e^-mu."""
    value, (of_mean, of_dispersion, _, _) = _zero_inflated(log_mean, 90.0, zero_logits, 0.0)
    mu, share = math.exp(log_mean), 1.0 / (1.0 + math.exp(-zero_logits))
    p = share + (1.0 - share) * math.exp(-mu)
    assert value == pytest.approx(math.log(p), rel=1e-5, abs=1e-37)
    assert of_mean == pytest.approx(-mu * (1.0 - share) * math.exp(-mu) / p, rel=1e-5, abs=1e-37)
    assert of_dispersion == pytest.approx(0.0, abs=1e-30)


def test_no_counts_of_no_dispersion(implementation: str) -> None:
    """A mean of 0: zero is certain, whatever the dispersion."""
    leaves = [torch.tensor([-INF], device=backends.device, requires_grad=True) for _ in range(2)]
    zero = torch.zeros(1, device=backends.device)
    value = vk.negative_binomial_log_likelihood(leaves[0], zero, leaves[1])
    assert value.item() == 0.0
    assert [g.item() for g in torch.autograd.grad(value, leaves)] == [0.0, 0.0]
    value, gradients = _zero_inflated(-INF, -INF, -1.0, 0.0)
    assert value == 0.0
    assert gradients[:3] == [0.0, 0.0, 0.0]
    one = vk.negative_binomial_log_likelihood(leaves[0], zero + 1.0, leaves[1])
    assert one.item() == -INF


@pytest.mark.parametrize("dispersion", [-300.0, -100.0, 85.0, 90.0, 300.0])
def test_a_count_of_one_at_any_dispersion(dispersion: float, fast_backend: str) -> None:
    """In float64, of the reference too, and a mean that is as large: log p(1) = r - (theta + 1)
    log 2."""
    theta = math.exp(dispersion)
    for where in (fast_backend, "reference"):
        leaves = [torch.tensor([dispersion], dtype=torch.float64, requires_grad=True) for _ in "mr"]
        with vk.backend(where):
            value = vk.negative_binomial_log_likelihood(
                leaves[0], torch.ones(1, dtype=torch.float64), leaves[1]
            )
            of_mean, of_dispersion = torch.autograd.grad(value, leaves)
        assert value.item() == pytest.approx(dispersion - (theta + 1.0) * math.log(2.0), rel=1e-13)
        assert of_mean.item() == pytest.approx(0.5 * (1.0 - theta), rel=1e-13)
        want = 0.5 - theta * (math.log(2.0) - 0.5)
        assert of_dispersion.item() == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("df", [1e-38, 1e-30, 1e-3, 1.0, 1e30])
@pytest.mark.parametrize("u", [1e-20, 1.0, 1e20])
def test_any_degrees_of_freedom(df: float, u: float, implementation: str) -> None:
    """No gradient is NaN where the value is a number."""
    numbers = (0.0, u, 0.0, df)
    leaves = [torch.tensor([t], device=backends.device, requires_grad=True) for t in numbers]
    value = vk.student_t_log_likelihood(*leaves)
    assert value.isfinite()
    assert not any(g.isnan() for g in torch.autograd.grad(value, leaves))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("through", ["exp", "softplus"])
def test_positive_numbers_of_any(through: str, dtype: torch.dtype) -> None:
    raw = torch.tensor([-INF, -1e4, -60.0, 0.0, 60.0, 1e4, INF], dtype=dtype, requires_grad=True)
    value = posteriors.positive(raw, through)
    (gradient,) = torch.autograd.grad(value.sum(), raw)
    if through == "softplus":
        want = [0.0, 0.0, math.exp(-60.0), math.log(2.0), 60.0, 1e4, INF]
        slopes = [0.0, 0.0, math.exp(-60.0), 0.5, 1.0, 1.0, 1.0]
    else:
        want = [0.0, 0.0, math.exp(-60.0), 1.0, math.exp(60.0), INF, INF]
        slopes = want
    torch.testing.assert_close(value, torch.tensor(want, dtype=dtype), rtol=1e-5, atol=0.0)
    torch.testing.assert_close(gradient, torch.tensor(slopes, dtype=dtype), rtol=1e-5, atol=0.0)
