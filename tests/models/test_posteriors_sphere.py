"""Von Mises-Fisher posteriors and the uniform prior: against many digits, and samples against what
is known of their distribution."""

from __future__ import annotations

from typing import Any

import mpmath
import pytest
import torch
from exact_sphere import bessel_ratio, derivative, kl_to_uniform, log_mean_exp, slope_of_quantile
from linear_gaussian import UNBIASED, worst_z_score
from loss_problem import F64, normal
from mpmath import mpf
from sampling import one_in
from scipy import stats
from torch import Tensor

from vaekern.posteriors import VonMisesFisher
from vaekern.posteriors._bessel import cumulant
from vaekern.posteriors._polar import NOISE, angle_slope, polar_angle
from vaekern.priors import UniformSphere

DIMS = (2, 3, 8, 33, 100, 1024)
KAPPAS = (1e-6, 1e-3, 0.3, 5.0, 40.0, 700.0, 1e4, 1e6)
F32 = torch.float32


def pole(*batch: int, d: int, dtype: torch.dtype = F64) -> Tensor:
    return torch.eye(d, dtype=dtype)[0].expand(*batch, d)


def close(found: Tensor, expected: Any, rtol: float) -> None:
    assert abs((mpf(found.item()) - expected) / expected) < rtol, (found.item(), expected)


@pytest.mark.parametrize("d", DIMS)
def test_divergence_density_and_gradients_in_many_digits(d: int) -> None:
    """Of float32 they are the numbers in many digits, but for half a unit in the last place."""
    with mpmath.workdps(70):
        for kappa in KAPPAS:
            single = torch.tensor([[kappa]], requires_grad=True)
            given = mpf(single.item())
            q = VonMisesFisher(pole(1, d=d, dtype=F32), single)
            kl = q.kl(UniformSphere(d))
            close(kl, kl_to_uniform(given, d), 6.1e-8)
            (slope,) = torch.autograd.grad(kl, single)
            close(slope, derivative(lambda k: kl_to_uniform(k, d), given), 6.1e-8)
            double = single.detach().double().requires_grad_()
            total, ratio = cumulant(double, d)
            close(total, log_mean_exp(given, d), 1e-12)
            close(double * ratio, bessel_ratio(given, d), 1e-11)
            log_prob = VonMisesFisher(pole(1, d=d), double).log_prob(pole(1, d=d))
            log_area = mpmath.log(2 * mpmath.pi ** (mpf(d) / 2) / mpmath.gamma(mpf(d) / 2))
            at_the_mode = given - log_mean_exp(given, d) - log_area
            assert abs(log_prob.item() - at_the_mode) < 1e-12 * (abs(log_area) + 1.0 + given)


@pytest.mark.parametrize("d", [2, 3, 10, 1024])
def test_no_concentration_is_the_uniform_distribution(d: int) -> None:
    kappa = torch.zeros(1, 1, requires_grad=True)
    q, prior = VonMisesFisher(normal(1, d, dtype=F32), kappa), UniformSphere(d)
    z, log_q = q.sample_with_log_prob(seed=1)
    torch.testing.assert_close(log_q, prior.log_prob(z))
    kl = q.kl(prior)
    slope, *_ = torch.autograd.grad(kl, kappa, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, kappa)
    assert (kl.item(), slope.item()) == (0.0, 0.0)
    torch.testing.assert_close(curvature, torch.full((1, 1), 1.0 / d))


@pytest.mark.parametrize("d", [3, 10])
def test_densities_are_those_of_scipy(d: int) -> None:
    mu, kappa = normal(4, d), torch.tensor([[0.5], [3.0], [20.0], [300.0]], dtype=F64)
    q = VonMisesFisher(mu, kappa)
    z = q.rsample(seed=2)
    for k in range(4):
        scipys = stats.vonmises_fisher(q.mode[k].numpy(), kappa[k].item())
        assert q.log_prob(z)[k].item() == pytest.approx(scipys.logpdf(z[k].numpy()), rel=1e-9)
        assert q.entropy()[k].item() == pytest.approx(scipys.entropy(), rel=1e-9)


@pytest.mark.parametrize("kappa", [0.0, 1.5, 60.0, 1e6])
@pytest.mark.parametrize("d", one_in(2, [2, 3, 10, 200]))
def test_implicit_derivative_of_the_angle(d: int, kappa: float) -> None:
    """Of the angle at which the distribution function has one value, by finite differences."""
    noise = normal(2, NOISE, seed=d)
    angles = polar_angle(torch.full((2, 1), kappa, dtype=F64), noise, d)
    found = angle_slope(angles, torch.full((2, 1), kappa, dtype=F64), d)
    with mpmath.workdps(30):
        for theta, slope in zip(angles.flatten().tolist(), found.flatten().tolist(), strict=True):
            expected = slope_of_quantile(mpf(theta), mpf(kappa), d)
            assert slope == pytest.approx(float(expected), rel=1e-7)


@pytest.mark.parametrize("dtype", [F64, F32])
@pytest.mark.parametrize("kappa", [0.0, 2.0, 90.0, 1e6])
@pytest.mark.parametrize("d", [2, 3, 20, 500])
def test_samples(d: int, kappa: float, dtype: torch.dtype) -> None:
    """Their length, and the mean and variance of how far they are from a direction."""
    n = 4_000
    mu = normal(1, d, seed=3, dtype=dtype)
    q = VonMisesFisher(mu, torch.full((1, 1), kappa, dtype=dtype))
    z = q.expand(n).sample(seed=4)[:, 0]
    # The roundings of a normalised direction, of a mirrored one, and of half a dozen steps between.
    length, allowed = z.double().norm(dim=1), 16 * torch.finfo(dtype).eps
    torch.testing.assert_close(length, torch.ones(n, dtype=F64), atol=allowed, rtol=0.0)
    direction = q.mode[0].double()
    height = 0.5 * (z.double() - direction).square().sum(1)  # 1 - cosine
    total = torch.full((1,), kappa, dtype=F64, requires_grad=True)
    mean = total * cumulant(total, d)[1]
    (variance,) = torch.autograd.grad(mean, total)
    deviations = torch.stack([height - (1.0 - mean.detach()),
                              (height - (1.0 - mean.detach())).square() - variance], 1)  # fmt: skip
    assert worst_z_score(deviations, torch.zeros(2, dtype=F64)) < UNBIASED
    across = z.double() - (1.0 - height)[:, None] * direction
    assert worst_z_score(across[:, :20], torch.zeros(20, dtype=F64)[:d]) < UNBIASED


def test_moments_are_those_of_samples() -> None:
    mu = torch.stack([pole(d=4), -pole(d=4), *normal(3, 4)])
    q = VonMisesFisher(mu, torch.tensor([[0.0], [4.0], [1.0], [30.0], [500.0]], dtype=F64))
    z = q.expand(10_000).sample(seed=7)
    assert worst_z_score(z, q.mean) < UNBIASED
    assert worst_z_score((z - q.mean).square(), q.stddev.square()) < UNBIASED
    torch.testing.assert_close(q.location.norm(dim=1), torch.ones(5, dtype=F64))


@pytest.mark.parametrize("d", [2, 3, 12])
def test_gradients_of_expectations(d: int) -> None:
    """Of E[(a z) + (b z)^2], which is known, with respect to both parameters."""
    n = 10_000
    mu, kappa = normal(d, seed=1), torch.tensor([3.0], dtype=F64)
    a, b = normal(d, seed=5), normal(d, seed=6)
    many = [t.expand(n, *t.shape).clone().requires_grad_() for t in (mu, kappa)]
    z = VonMisesFisher(*many).rsample(seed=8)
    of_samples = torch.autograd.grad(((z @ a) + (z @ b).square()).sum(), many)
    leaves = [mu.requires_grad_(), kappa.requires_grad_()]
    q = VonMisesFisher(mu[None], kappa[None])
    across = cumulant(kappa, d)[1]
    along = 1.0 - (d - 1.0) * across  # E[t^2]
    direction = mu / mu.norm()
    second = across * b.square().sum() + (along - across) * (direction @ b).square()
    expected = torch.autograd.grad((q.mean[0] @ a) + second, leaves)
    for found, wanted in zip(of_samples, expected, strict=True):
        assert worst_z_score(found, wanted) < UNBIASED


def test_divergence_of_two() -> None:
    q = VonMisesFisher(normal(3, 6), normal(3, 1, seed=1).exp() * 5.0)
    p = VonMisesFisher(normal(3, 6) + 0.5, normal(3, 1, seed=2).exp() * 3.0)
    z = q.expand(10_000).sample(seed=3)
    estimates = q.expand(10_000).log_prob(z) - p.expand(10_000).log_prob(z)
    assert worst_z_score(estimates, q.kl(p)) < UNBIASED
    near = VonMisesFisher(q.mu * 2.0, q.kappa * (1.0 + 1e-7))
    assert q.kl(q).abs().max() < 1e-14
    assert (q.kl(near).abs() < 1e-11).all()


def test_first_and_second_derivatives() -> None:
    mu, kappa = normal(2, 5).requires_grad_(), normal(2, 1).exp().requires_grad_()
    z = VonMisesFisher(mu, kappa).sample(seed=1)
    prior = UniformSphere(5)
    for function in (
        lambda m, k: VonMisesFisher(m, k).log_prob(z),
        lambda m, k: VonMisesFisher(m, k).kl(prior),
        lambda m, k: VonMisesFisher(m, k).mean,
    ):
        assert torch.autograd.gradcheck(function, (mu, kappa))
        assert torch.autograd.gradgradcheck(function, (mu, kappa))
    assert torch.autograd.gradcheck(lambda t, k: angle_slope(t, k, 5), (
        torch.full((2, 1), 0.7, dtype=F64, requires_grad=True), kappa))  # fmt: skip


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own
def test_no_shape_depends_on_what_was_refused() -> None:
    """One graph, and the same under vmap, forward mode and torch.func as without."""
    mu, kappa = normal(6, 4), normal(6, 1, seed=1).exp()
    eps = normal(6, 3 + NOISE, seed=2)

    def loss(mu: Tensor, kappa: Tensor, eps: Tensor) -> Tensor:
        q = VonMisesFisher(mu, kappa, batch_dims=mu.dim() - 1)
        return (q.rsample(eps)[..., 0] - 0.1 * q.kl(UniformSphere(4))).sum()

    expected = torch.func.grad(loss, argnums=(0, 1))(mu, kappa, eps)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    leaves = [mu.clone().requires_grad_(), kappa.clone().requires_grad_()]
    torch.testing.assert_close(torch.autograd.grad(compiled(*leaves, eps), leaves), expected)
    each = torch.func.vmap(torch.func.grad(loss, argnums=(0, 1)))(mu, kappa, eps)
    torch.testing.assert_close(each, expected)
    _, tangent = torch.func.jvp(lambda k: loss(mu, k, eps), (kappa,), (torch.ones_like(kappa),))
    torch.testing.assert_close(tangent, expected[1].sum())


def test_several_vectors_per_datapoint() -> None:
    mu, kappa = normal(2, 3, 5), normal(2, 3, 1).exp()
    one, each = VonMisesFisher(mu, kappa), VonMisesFisher(mu, kappa, batch_dims=2)
    prior = UniformSphere((3, 5)).double()
    z = one.rsample(seed=1)
    assert (one.latent_shape, one.kl(prior).shape, z.shape) == ((3, 5), (2,), (2, 3, 5))
    torch.testing.assert_close(one.log_prob(z), each.log_prob(z).sum(1))
    torch.testing.assert_close(one.kl(prior), each.kl(UniformSphere(5)).sum(1))
    torch.testing.assert_close(prior.log_prob(z), 3 * UniformSphere(5).log_prob(z[:, 0]))
    drawn = prior.sample(20_000)
    torch.testing.assert_close(drawn.norm(dim=-1), torch.ones(20_000, 3, dtype=F64))
    assert worst_z_score(drawn, torch.zeros(3, 5, dtype=F64)) < UNBIASED


def test_half_precision() -> None:
    q = VonMisesFisher.softplus(normal(3, 5).bfloat16(), normal(3, 1).bfloat16())
    z, log_prob = q.sample_with_log_prob(seed=1)
    kl = q.kl(UniformSphere(5))
    assert (z.dtype, log_prob.dtype, kl.dtype) == (torch.bfloat16, F32, F32)
    torch.testing.assert_close(z, q.widen().rsample(seed=1).bfloat16())
    assert (q.kappa > 1.0).all()
