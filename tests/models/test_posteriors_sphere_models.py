"""Von Mises-Fisher posteriors in bounds and models, and the errors of them and their priors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from loss_problem import F64, normal
from torch import Tensor

import vaekern as vk
from vaekern import objectives
from vaekern.posteriors import DiagonalGaussian, Transformed, VonMisesFisher
from vaekern.priors import StandardNormal, UniformSphere


def test_bounds() -> None:
    """With p(x | z) = q(z | x) / p(z) every weight is 1."""
    q, prior = VonMisesFisher(normal(3, 4), normal(3, 1).exp()), UniformSphere(4)

    def log_joint(z: Tensor) -> Tensor:
        return q.expand(z.shape[0]).log_prob(z)

    for estimator in ("iwae", "stl", "dreg"):
        weights = objectives.posterior_log_weights(log_joint, q, 6, estimator=estimator, seed=1)
        torch.testing.assert_close(weights, torch.zeros(6, 3, dtype=F64))
    assert prior.log_prob(q.rsample(seed=1)).shape == (3,)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: VonMisesFisher(torch.ones(2, 1), torch.ones(2, 1)), ValueError, r"mu: .*\(2, 1\)"),
        (lambda: VonMisesFisher(torch.ones(2, 3), torch.ones(2)), ValueError, r"kappa: .*\(2,\)"),
        (
            lambda: VonMisesFisher(torch.ones(2, 3), torch.ones(2, 3)),
            ValueError,
            "kappa: one|kappa",
        ),
        (lambda: VonMisesFisher(torch.ones(3), torch.ones(1)), ValueError, "batch_dims: .*got 1"),
        (lambda: VonMisesFisher(torch.ones(2, 3).int(), torch.ones(2, 1)), TypeError, "mu: "),
        (lambda: sphere().kl(), ValueError, r"prior: .*unit vectors.*N\(0, I\)"),
        (lambda: sphere().sample_with_kl(StandardNormal(3)), ValueError, "prior: .*StandardNormal"),
        (lambda: sphere().kl(gaussian()), ValueError, "prior: .*over unit vectors"),
        (lambda: gaussian().kl(UniformSphere(3)), ValueError, "prior: .*over any numbers"),
        (lambda: sphere().log_prob(torch.ones(2, 4)), ValueError, r"z: .*\(2, 4\)"),
        (lambda: Transformed(sphere(), []), ValueError, "base: .*unit vectors"),
        (lambda: UniformSphere(1), ValueError, "latent_shape: .*got 1"),
        (lambda: UniformSphere(3).log_prob(torch.ones(2, 4)), ValueError, r"z: .*\(2, 4\)"),
        (lambda: model().log_marginal_likelihood(torch.ones(2, 3)), ValueError, "prior: .*unit"),
        (lambda: objectives.importance_weighted(model(), torch.ones(2, 3), 2), ValueError, "prior"),
    ],
)
def test_errors(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def sphere() -> VonMisesFisher:
    return VonMisesFisher(torch.ones(2, 3), torch.ones(2, 1))


def gaussian() -> DiagonalGaussian:
    return DiagonalGaussian(torch.zeros(2, 3), torch.zeros(2, 3))


class Encoder(torch.nn.Linear):
    def __init__(self) -> None:
        super().__init__(3, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return super().forward(x).split((3, 1), -1)


def model() -> vk.VAE:
    """Without the prior that it needs."""
    return vk.VAE(Encoder(), torch.nn.Linear(3, 3), posterior=VonMisesFisher.softplus)
