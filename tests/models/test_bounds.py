"""Bounds of given log-weights, against scipy."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.special import logsumexp
from torch import Tensor

from vaekern import objectives


def random_weights(dtype: torch.dtype = torch.float64) -> Tensor:
    weights = (
        3.0 * torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        - 700.0
    )
    return weights.to(dtype)


def test_bound_and_its_gradient() -> None:
    weights = random_weights().requires_grad_()
    bound = objectives.importance_weighted_bound(weights)
    expected = logsumexp(weights.detach().numpy(), axis=0) - math.log(6.0)
    torch.testing.assert_close(bound.detach(), torch.from_numpy(expected))
    (gradient,) = torch.autograd.grad(bound.sum(), weights)
    torch.testing.assert_close(gradient, torch.softmax(weights.detach(), 0))
    assert torch.autograd.gradcheck(objectives.importance_weighted_bound, weights)


def test_bound_of_extreme_weights() -> None:
    inf = math.inf
    weights = torch.tensor([[3e38, -3e38, -inf, -inf], [1.0, -3e38, 2.0, -inf]])
    bound = objectives.importance_weighted_bound(weights)
    expected = torch.tensor([3e38, -3e38, 2.0 - math.log(2.0), -inf])
    torch.testing.assert_close(bound, expected)
    assert objectives.importance_weighted_bound(torch.zeros(1, 3)).tolist() == [0.0, 0.0, 0.0]
    assert objectives.importance_weighted_bound(torch.zeros(2, 3).bfloat16()).dtype == torch.float32


def exact_renyi(weights: Tensor, alpha: float) -> Tensor:
    if alpha == 1.0:
        return weights.mean(0)
    power = 1.0 - alpha
    found = logsumexp(power * weights.detach().numpy(), axis=0) - math.log(weights.shape[0])
    return torch.from_numpy(found / power)


@pytest.mark.parametrize("alpha", [-3.0, 0.0, 0.5, 0.9, 1.0, 1.5, 4.0])
def test_renyi_bound(alpha: float) -> None:
    weights = random_weights().requires_grad_()
    bound = objectives.renyi_bound(weights, alpha)
    torch.testing.assert_close(bound.detach(), exact_renyi(weights, alpha))
    (gradient,) = torch.autograd.grad(bound.sum(), weights)
    shares = torch.softmax((1.0 - alpha) * weights.detach(), 0)
    torch.testing.assert_close(gradient, shares)
    assert torch.autograd.gradcheck(lambda w: objectives.renyi_bound(w, alpha), weights)


def test_renyi_bound_between_its_limits() -> None:
    weights = random_weights()
    bounds = torch.stack(
        [objectives.renyi_bound(weights, a) for a in (-math.inf, -50.0, 0.0, 1.0, 50.0, math.inf)]
    )
    assert torch.equal(bounds[0], weights.amax(0))
    assert torch.equal(bounds[-1], weights.amin(0))
    assert (bounds.diff(dim=0) < 0.0).all()
    torch.testing.assert_close(bounds[2], objectives.importance_weighted_bound(weights))


@pytest.mark.parametrize("step", [1e-3, 1e-6, -1e-6, 1e-12])
def test_renyi_bound_close_to_one(step: float) -> None:
    """mean + (1 - alpha) / 2 * variance + ..., in single precision."""
    weights = torch.randn(64, 5, generator=torch.Generator().manual_seed(4))
    found = objectives.renyi_bound(weights, 1.0 - step).double()
    wide = weights.double()
    expected = wide.mean(0) + 0.5 * step * wide.var(0, correction=0)
    torch.testing.assert_close(found, expected, rtol=0.0, atol=2e-6)


def test_renyi_bound_of_impossible_samples() -> None:
    weights = torch.tensor([[-math.inf], [1.0]], requires_grad=True)
    half = objectives.renyi_bound(weights, 0.5)
    torch.testing.assert_close(half, torch.tensor([1.0 - 2.0 * math.log(2.0)]))
    assert torch.autograd.grad(half.sum(), weights)[0].flatten().tolist() == [0.0, 1.0]
    assert objectives.renyi_bound(weights, 2.0).item() == -math.inf


@pytest.mark.parametrize("bound", [objectives.importance_weighted_bound, objectives.renyi_bound])
@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (torch.zeros(()), ValueError, r"log_weights.*at least one sample, got \(\)"),
        (torch.zeros(0, 3), ValueError, r"log_weights.*at least one sample, got \(0, 3\)"),
        (torch.zeros(2, dtype=torch.int64), TypeError, "log_weights.*int64"),
    ],
)
def test_errors_of_bounds(bound: Any, weights: Tensor, error: Any, message: str) -> None:
    more = (0.5,) if bound is objectives.renyi_bound else ()
    with pytest.raises(error, match=message):
        bound(weights, *more)


def test_error_of_renyi_order() -> None:
    with pytest.raises(ValueError, match=r"alpha.*nan"):
        objectives.renyi_bound(torch.zeros(2, 3), math.nan)
