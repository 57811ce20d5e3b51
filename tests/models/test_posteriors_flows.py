"""Flows, and posteriors made of them: determinants, inverses, densities."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from linear_gaussian import UNBIASED, worst_z_score
from loss_problem import F64, normal
from torch import Tensor
from torch.distributions import Independent, TransformedDistribution
from torch.distributions import Normal as TorchNormal
from torch.distributions import transforms as T  # noqa: N812

import vaekern as vk
from vaekern import objectives
from vaekern.posteriors import (
    AffineAutoregressive,
    DiagonalGaussian,
    Flow,
    FullGaussian,
    Planar,
    Transformed,
)

B, D, H = 4, 3, 5

FLOWS: dict[str, Callable[..., Flow]] = {
    "planar": Planar,
    "autoregressive": lambda d, h=None: AffineAutoregressive(d, 16, h),
    "autoregressive, reversed": lambda d, h=None: AffineAutoregressive(d, 16, h, reverse=True),
}


def flow_of(name: str, *context: int, d: int = D) -> Flow:
    torch.manual_seed(4)
    flow = FLOWS[name](d, *context).double()
    with torch.no_grad():  # far from the identity
        for parameter in flow.parameters():
            parameter.mul_(4.0)
    return flow


@pytest.mark.parametrize("name", FLOWS)
@pytest.mark.parametrize("with_context", [False, True])
def test_determinants(name: str, with_context: bool) -> None:
    flow = flow_of(name, *([H] if with_context else []))
    context = normal(B, H, seed=2) if with_context else None
    y = 2.0 * normal(B, D)
    z, log_det = flow(y, context)
    assert log_det.shape == (B,)
    for k in range(B):
        own = None if context is None else context[k]
        jacobian = torch.autograd.functional.jacobian(lambda v, own=own: flow(v, own)[0], y[k])
        torch.testing.assert_close(log_det[k], torch.linalg.slogdet(jacobian)[1])
        if name != "planar":  # triangular, in one order or the other
            other_half = torch.triu(jacobian, 1) if name == "autoregressive" else \
                torch.tril(jacobian, -1)  # fmt: skip
            assert torch.equal(other_half, torch.zeros(D, D, dtype=F64))
    assert z.shape == y.shape


@pytest.mark.parametrize("d", [1, 2, 7])
@pytest.mark.parametrize("name", ["autoregressive", "autoregressive, reversed"])
def test_inverse(name: str, d: int) -> None:
    flow, y = flow_of(name, H, d=d), normal(B, d)
    context = normal(B, H, seed=2)
    torch.testing.assert_close(flow.inverse(flow(y, context)[0], context), y)


def test_planar_flow_is_invertible_for_any_parameters() -> None:
    """Along w it grows strictly: the determinant stays positive where u points against w."""
    flow = Planar(1).double()
    with torch.no_grad():
        flow.shared.copy_(torch.tensor([-30.0, 2.0, 0.1]))
    y = torch.linspace(-3.0, 3.0, 2001, dtype=F64)[:, None]
    z, log_det = flow(y)
    assert (z.diff(dim=0) > 0).all()
    assert log_det.isfinite().all()
    slope = (z.diff(dim=0) / y.diff(dim=0)).squeeze(1)
    torch.testing.assert_close(
        slope, log_det.exp()[1:].add(log_det.exp()[:-1]) / 2, rtol=1e-2, atol=1e-4
    )


def test_torch_transforms_against_a_transformed_distribution() -> None:
    mu, logvar = (normal(B, D, seed=k).requires_grad_() for k in range(2))
    scale = normal(B, D, seed=3).exp().requires_grad_()
    steps = [T.AffineTransform(0.3, scale), T.TanhTransform(), T.ExpTransform()]
    q = Transformed(DiagonalGaussian(mu, logvar), steps)
    expected = TransformedDistribution(
        Independent(TorchNormal(mu, torch.exp(0.5 * logvar)), 1), steps
    )
    eps = normal(B, D, seed=5)
    z, log_prob = q.sample_with_log_prob(eps)
    assert torch.equal(z, q.rsample(eps))
    torch.testing.assert_close(z, expected.base_dist.mean.add(torch.exp(0.5 * logvar) * eps)
                               .mul(scale).add(0.3).tanh().exp())  # fmt: skip
    torch.testing.assert_close(log_prob, expected.log_prob(z))
    torch.testing.assert_close(q.log_prob(z), expected.log_prob(z))
    leaves = (mu, logvar, scale)
    torch.testing.assert_close(
        torch.autograd.grad(log_prob.sum(), leaves, retain_graph=True),
        torch.autograd.grad(expected.log_prob(z).sum(), leaves, retain_graph=True),
    )
    assert q.expand(2).rsample().shape == (2, B, D)


def test_transforms_of_vectors() -> None:
    """Whose determinants are one number per vector."""
    base = FullGaussian(normal(B, D), torch.eye(D, dtype=F64).expand(B, D, D))
    step = T.IndependentTransform(T.AffineTransform(0.0, torch.full((D,), 2.0, dtype=F64)), 1)
    z, log_prob = Transformed(base, [step]).sample_with_log_prob(seed=1)
    expected = FullGaussian(2.0 * base.mu, 2.0 * base.tril).log_prob(z)
    torch.testing.assert_close(log_prob, expected)


@pytest.mark.parametrize("name", FLOWS)
def test_density_of_a_flow_integrates_to_one(name: str) -> None:
    """E_r[q(z) / r(z)] = 1 with samples of q itself: E_q[r(z) / q(z)] = 1 for a density r."""
    n = 20_000
    flow = flow_of(name, H)
    context = normal(1, H, seed=2).expand(n, H)
    base = DiagonalGaussian(torch.zeros(n, D, dtype=F64), torch.zeros(n, D, dtype=F64))
    with torch.no_grad():
        z, log_prob = Transformed(base, [flow], context).sample_with_log_prob(seed=3)
        centre, spread = z.mean(0), 0.3 * z.std(0)
        log_r = TorchNormal(centre, spread).log_prob(z).sum(1)
        ratio = torch.exp(log_r - log_prob)
    assert worst_z_score(ratio, torch.ones(())) < UNBIASED
    assert ratio.std() / n**0.5 < 0.1  # so few would not see nothing


def test_chain_of_flows_with_context_and_its_gradients() -> None:
    flows = [flow_of(name, H) for name in FLOWS]
    mu, logvar, context = (normal(*s, seed=k) for k, s in enumerate([(2, D), (2, D), (2, H)]))
    leaves = [t.requires_grad_() for t in (mu, logvar, context)]

    def f(mu: Tensor, logvar: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        q = Transformed(DiagonalGaussian(mu, logvar), flows, context)
        return q.sample_with_log_prob(seed=2)

    torch.autograd.gradcheck(f, leaves)
    q = Transformed(DiagonalGaussian(mu, logvar), flows[1:], context)
    z, log_prob = q.sample_with_log_prob(seed=2)
    torch.testing.assert_close(q.log_prob(z), log_prob)
    assert q.location.shape == (2, D)
    many = q.expand(3)
    torch.testing.assert_close(many.log_prob(z.expand(3, 2, D)), log_prob.expand(3, 2))


@pytest.mark.parametrize("name", FLOWS)
def test_half_precision(name: str) -> None:
    """Maps are evaluated and determinants summed in float32, but for the networks."""
    flow = FLOWS[name](D).bfloat16()
    y = normal(2000, D).bfloat16()
    exact_z, exact_log_det = copy.deepcopy(flow).double()(y.double())
    z, log_det = flow(y)
    assert (z.dtype, log_det.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(z.double(), exact_z, rtol=2e-2, atol=2e-2)
    error = (log_det.double() - exact_log_det).abs().max()
    assert error < (1e-5 if name == "planar" else 2e-2)
    mu = torch.zeros(2000, D).bfloat16()
    sample, log_prob = Transformed(DiagonalGaussian(mu, mu), [flow, flow]).sample_with_log_prob()
    assert (sample.dtype, log_prob.dtype) == (torch.bfloat16, torch.float32)


def test_errors() -> None:
    mu = torch.zeros(B, D)
    q = Transformed(DiagonalGaussian(mu, mu), [Planar(D)])
    with pytest.raises(NotImplementedError, match="Planar has no inverse"):
        q.log_prob(mu)
    with pytest.raises(NotImplementedError, match="Transformed has no entropy"):
        q.entropy()
    with pytest.raises(NotImplementedError, match=r"kl: no closed form of KL.Transformed .. N"):
        q.kl()
    for flow in (Planar(D, H), AffineAutoregressive(D, 8, H)):
        with pytest.raises(ValueError, match=r"context: expected \[..., 5\].*got None"):
            flow(mu)


@pytest.mark.parametrize("estimator", ["stl", "dreg"])
def test_estimators_that_need_a_detached_density_are_refused(estimator: str) -> None:
    mu = torch.zeros(B, D)
    q = Transformed(DiagonalGaussian(mu, mu), [Planar(D)])

    def log_joint(z: Tensor) -> Any:
        return vk.objectives.standard_normal_log_density(z, batch_dims=2)

    with pytest.raises(NotImplementedError, match="detach"):
        objectives.posterior_log_weights(log_joint, q, 2, estimator=estimator)
    assert objectives.posterior_log_weights(log_joint, q, 2).shape == (2, B)
