"""Objectives, bounds, posteriors and priors in float32 at magnitudes of 1e4 to 1e8: the value of
float64, as torch's own classes give, and what must not depend on an offset does not."""

from __future__ import annotations

import math

import backends
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal, kl_divergence

import vaekern as vk
from vaekern import objectives, posteriors, priors

OFFSETS = (0.0, 1e4, 1e6, 1e7, 1e8)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def at(offset: float, *shape: int) -> Tensor:
    """Numbers around an offset, as float32 has them there."""
    return offset + torch.randn(shape) * max(1.0, 1e-6 * offset)


# --- covariances of low rank ----------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["logvar", "log_std", "std"])
@pytest.mark.parametrize("to_prior", [False, True])
@pytest.mark.parametrize("d", [3, 16])
@pytest.mark.parametrize(
    ("size", "s"), [(1.0, 1e-5), (1.0, 1e-6), (3.0, 1e-5), (10.0, 1e-7), (1e-3, 1.0), (1e3, 1e-4)]
)
def test_low_rank_with_a_small_diagonal(
    size: float, s: float, d: int, to_prior: bool, scale: str
) -> None:
    mu, factor = torch.randn(2, d), size * torch.randn(2, d, 3)
    logvar = math.log(s) + 0.1 * torch.randn(2, d)
    prior_mu, prior_logvar = torch.randn(2, d), torch.randn(2, d)
    given = {"logvar": logvar, "log_std": 0.5 * logvar, "std": torch.exp(0.5 * logvar)}[scale]
    leaves = [t.requires_grad_() for t in (mu, factor, given)]
    wide = [t.detach().double().requires_grad_() for t in leaves]
    variance = {
        "logvar": lambda t: t.exp(), "log_std": lambda t: (2.0 * t).exp(), "std": torch.square
    }[scale](wide[2])  # fmt: skip
    dense = MultivariateNormal(wide[0], wide[1] @ wide[1].mT + torch.diag_embed(variance))
    zeros = torch.zeros(2, d)
    prior = (prior_mu, prior_logvar) if to_prior else (zeros, zeros)
    p = MultivariateNormal(prior[0].double(), torch.diag_embed(prior[1].double().exp()))
    q = posteriors.LowRankGaussian(*leaves, scale=scale)
    to = posteriors.DiagonalGaussian(*prior) if to_prior else None
    got, want = q.kl(to), kl_divergence(dense, p)
    assert got.dtype is torch.float32
    torch.testing.assert_close(got, want.float(), rtol=1e-5, atol=1e-5)
    for found, wanted in zip(
        torch.autograd.grad(got.sum(), leaves), torch.autograd.grad(want.sum(), wide), strict=True
    ):
        assert (found - wanted).norm() < 1e-4 * wanted.norm()
    torch.testing.assert_close(q.entropy(), dense.entropy().float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("s", [1e-6, 1e-10])
def test_the_density_of_a_sample_of_low_rank_is_that_of_its_noise(s: float) -> None:
    mu, factor = 10.0 * torch.randn(5, 8), torch.randn(5, 8, 2)
    q = posteriors.LowRankGaussian(mu, factor, torch.full((5, 8), math.log(s)))
    eps = torch.randn(5, 10)
    _, got = q.sample_with_log_prob(eps)
    of_diagonal, of_factor = eps.double().split((8, 2), dim=1)
    variance = q.logvar.double().exp()
    u = (factor.double() @ of_factor[..., None])[..., 0] + variance.sqrt() * of_diagonal
    covariance = factor.double() @ factor.double().mT + torch.diag_embed(variance)
    want = MultivariateNormal(torch.zeros(5, 8).double(), covariance).log_prob(u)
    torch.testing.assert_close(got, want.float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("offset", OFFSETS)
def test_densities_and_divergences_of_posteriors(offset: float) -> None:
    mu, other = at(offset, 4, 3), at(offset, 4, 3)
    tril = torch.tril(0.3 * torch.randn(2, 4, 3, 3)) + 1.5 * torch.eye(3)
    tril.diagonal(dim1=-2, dim2=-1).abs_()
    dense = [
        MultivariateNormal(m.double(), scale_tril=t.double())
        for m, t in zip((mu, other), tril, strict=True)
    ]
    q, p = posteriors.FullGaussian(mu, tril[0]), posteriors.FullGaussian(other, tril[1])
    for got, want in (
        (q.kl(p), kl_divergence(*dense)),
        (q.log_prob(other), dense[0].log_prob(other.double())),
    ):
        torch.testing.assert_close(got, want.float(), rtol=1e-5, atol=1e-5)
    logvar = torch.randn(4, 3)
    diagonal = posteriors.DiagonalGaussian(mu, logvar)
    normal = Normal(mu.double(), (0.5 * logvar.double()).exp())
    want = normal.log_prob(other.double()).sum(1)
    torch.testing.assert_close(diagonal.log_prob(other), want.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [1.0, 1e4, 1e8])
def test_planar_flows(size: float) -> None:
    flow = posteriors.Planar(3)
    with torch.no_grad():
        flow.shared.copy_(flow.shared * size)  # type: ignore[union-attr]
    wide = posteriors.Planar(3).double()
    wide.load_state_dict(flow.state_dict())
    y = torch.randn(50, 3) / size
    (z, log_det), (want, log_det_wanted) = flow(y), wide(y.double())
    torch.testing.assert_close(z, want.float(), rtol=1e-4, atol=1e-5 * size)
    torch.testing.assert_close(log_det, log_det_wanted.float(), rtol=1e-4, atol=1e-4)


# --- shares of sums of exponentials ---------------------------------------------------------------


@pytest.mark.parametrize("offset", [*OFFSETS, -1e8])
@pytest.mark.parametrize("alpha", [None, -1.0, 0.5, 1.0 - 1e-6, 2.0])
def test_importance_weights_sum_to_1(offset: float, alpha: float | None) -> None:
    log_weights = at(offset, 8, 3).requires_grad_()
    bound = (
        objectives.importance_weighted_bound(log_weights)
        if alpha is None
        else objectives.renyi_bound(log_weights, alpha)
    )
    (shares,) = torch.autograd.grad(bound.sum(), log_weights)
    torch.testing.assert_close(shares.sum(0), torch.ones(3), rtol=1e-6, atol=0.0)
    power = 1.0 if alpha is None else 1.0 - alpha
    want = torch.softmax(power * log_weights.detach().double(), 0).float()
    torch.testing.assert_close(shares, want, rtol=1e-4, atol=1e-6 * max(1.0, abs(power)))


@pytest.mark.parametrize("offset", OFFSETS)
def test_mixtures(offset: float) -> None:
    prior = priors.MixtureOfGaussians(4, 3)
    with torch.no_grad():
        prior.mu.copy_(at(offset, 4, 3))
        prior.logvar.copy_(torch.full((4, 3), 2.0 * math.log(max(1.0, 1e-6 * offset))))
    z = at(offset, 6, 3).requires_grad_()
    wide = z.detach().double().requires_grad_()
    std = (0.5 * prior.logvar.double()).exp()
    pairs = Normal(prior.mu.double(), std).log_prob(wide[:, None]).sum(2)
    want = torch.logsumexp(pairs - math.log(4.0), 1)
    got = prior.log_prob(z)
    torch.testing.assert_close(got, want.detach().float(), rtol=1e-5, atol=1e-5)
    (found,), (wanted,) = (torch.autograd.grad(v.sum(), t) for v, t in ((got, z), (want, wide)))
    torch.testing.assert_close(found, wanted.float(), rtol=1e-4, atol=1e-5)


def test_a_mixture_far_from_all_its_components() -> None:
    """Log-densities of -1e7: the shares of the components still sum to 1."""
    prior = priors.MixtureOfGaussians(4, 2)
    z = torch.full((3, 2), 3000.0)
    (shares,) = torch.autograd.grad(prior.log_prob(z).sum(), prior.logits)
    log_density = Normal(prior.mu.double(), 1.0).log_prob(z[0].double()).sum(1)
    assert log_density.max() < -1e6
    assert abs(shares.sum()) < 1e-5  # shares less the weights, both of which sum to 3


@pytest.mark.parametrize("offset", [*OFFSETS, -1e8])
@pytest.mark.parametrize("name", ["categorical", "multinomial", "linear", "linear mean"])
def test_classes(name: str, offset: float, implementation: str) -> None:
    logits, x = at(offset, 3, 5), torch.tensor([0, 1, 2])
    wide = torch.log_softmax(logits.double(), 1)
    one_hot = torch.nn.functional.one_hot(x, 5).float()
    want = wide.gather(1, x[:, None])[:, 0]
    own = backends.put(logits).requires_grad_()
    if name == "categorical":
        got = vk.categorical_log_likelihood(own, backends.put(x))
    elif name == "multinomial":
        got = vk.multinomial_log_likelihood(own, backends.put(one_hot), coefficient=False)
    else:
        got = vk.linear_categorical_log_likelihood(
            own, torch.eye(5, device=backends.device), None, backends.put(x),
            reduction="mean" if "mean" in name else "none", chunk=2,
        )  # fmt: skip
        want = want.mean() if "mean" in name else want
    torch.testing.assert_close(got.cpu(), want.float(), rtol=1e-5, atol=1e-5)
    (gradient,) = torch.autograd.grad(got.sum(), own)
    gradient = gradient.cpu() * (3.0 if "mean" in name else 1.0)
    torch.testing.assert_close(gradient, (one_hot - wide.exp()).float(), rtol=1e-4, atol=2e-6)


# --- distances and decompositions -----------------------------------------------------------------


def dense_mmd(z: Tensor, y: Tensor, unbiased: bool) -> Tensor:
    def mean(a: Tensor, b: Tensor, own: bool) -> Tensor:
        kernel = torch.exp(-((a[:, None] - b) ** 2).sum(-1) / (2 * z.shape[1]))
        if own and unbiased:
            return (kernel.sum() - len(a)) / (len(a) * (len(a) - 1))
        return kernel.mean()

    return mean(z, z, True) + mean(y, y, True) - 2 * mean(z, y, False)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize(
    ("spread", "offset"),
    [(1.0, 0.0), (1.0, 300.0), (1.0, 3000.0), (1.0, 1e6), (1000.0, 0.0), (1e8, 0.0)],
)
def test_mmd(spread: float, offset: float, unbiased: bool) -> None:
    z, y = offset + spread * torch.randn(64, 20), offset + torch.randn(50, 20)
    leaves = [t.requires_grad_() for t in (z, y)]
    wide = [t.detach().double().requires_grad_() for t in leaves]
    got, want = objectives.mmd(z, y, unbiased=unbiased), dense_mmd(*wide, unbiased)
    assert got.item() == pytest.approx(want.item(), rel=1e-4, abs=1e-7)
    for found, wanted in zip(
        torch.autograd.grad(got, leaves), torch.autograd.grad(want, wide), strict=True
    ):
        assert (found - wanted).norm() <= 1e-4 * wanted.norm() + 1e-9


def test_mmd_of_a_set_and_itself_is_0() -> None:
    z = 1e5 + 100.0 * torch.randn(30, 4)
    assert objectives.mmd(z, z).item() == pytest.approx(0.0, abs=1e-7)


def test_mmd_is_differentiable_in_every_way() -> None:
    z, y = torch.randn(5, 3).double().requires_grad_(), torch.randn(4, 3).double().requires_grad_()
    assert torch.autograd.gradcheck(objectives.mmd, (z, y), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(objectives.mmd, (z, y))
    batched = torch.func.vmap(torch.func.grad(objectives.mmd))(z[None], y[None])[0]
    torch.testing.assert_close(batched, torch.autograd.grad(objectives.mmd(z, y), z)[0])
    compiled = torch.compile(objectives.mmd, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(z, y), objectives.mmd(z, y))


def test_mmd_goes_through_many_samples_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    z, y = torch.randn(7, 3).double().requires_grad_(), torch.randn(5, 3).double().requires_grad_()
    want = torch.autograd.grad(objectives.mmd(z, y), (z, y))
    monkeypatch.setattr("vaekern.objectives._distances._ELEMENTS_AT_A_TIME", 30)
    torch.testing.assert_close(torch.autograd.grad(objectives.mmd(z, y), (z, y)), want)


@pytest.mark.parametrize("offset", OFFSETS)
def test_decomposed_kl_of_shifted_latents(offset: float) -> None:
    mu = at(offset, 6, 3)
    logvar = torch.randn(6, 3) + 2.0 * math.log(max(1.0, 1e-6 * offset))
    z = vk.reparameterize(mu, logvar, torch.randn(6, 3))
    leaves = [t.requires_grad_() for t in (z, mu, logvar)]
    wide = [t.detach().double().requires_grad_() for t in leaves]
    got, want = (objectives.decomposed_kl(*tensors, 100)[:2] for tensors in (leaves, wide))
    for found, wanted in zip(got, want, strict=True):
        torch.testing.assert_close(found, wanted.float(), rtol=1e-4, atol=1e-4)
    gradients = [
        torch.autograd.grad(parts[1].sum(), tensors)
        for parts, tensors in ((got, leaves), (want, wide))
    ]
    for found, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted.float(), rtol=1e-3, atol=1e-5)


def test_decomposed_kl_of_many_narrow_dimensions() -> None:
    """Log-densities of 5e4: the shares of a sample still sum to 1."""
    mu, logvar = torch.randn(4, 10_000), torch.full((4, 10_000), -10.0)
    z = vk.reparameterize(mu, logvar, torch.randn(4, 10_000))
    leaf = logvar.clone().requires_grad_()
    parts = objectives.decomposed_kl(z, mu, leaf, 100)
    (gradient,) = torch.autograd.grad(parts.mutual_information.sum(), leaf)
    assert gradient.abs().max() < 1e-4  # log q(z | x) less the sample's own share, which is all


@pytest.mark.parametrize("v", [-60.0, -88.0, -90.0, -100.0, -176.0, -180.0, -400.0, 60.0])
def test_decomposed_kl_of_collapsed_variances(v: float) -> None:
    """As in float64, of the samples of float32: the means, where the variance is lost."""
    mu, eps = torch.randn(2, 4, 3)
    z = vk.reparameterize(mu, torch.full((4, 3), v), eps)
    gradients = []
    for dtype in (torch.float32, torch.float64):
        own, sample = (t.to(dtype).requires_grad_() for t in (mu, z))
        logvar = torch.full((4, 3), v, dtype=dtype, requires_grad=True)
        parts = objectives.decomposed_kl(sample, own, logvar, 100)
        assert all(part.isfinite().all() for part in parts)
        total = sum(p.sum() for p in parts)
        found = torch.autograd.grad(total, (logvar, own, sample))
        assert all(gradient.isfinite().all() for gradient in found)
        gradients.append(found[0])
    torch.testing.assert_close(gradients[0], gradients[1].float(), rtol=1e-3, atol=1e-5)
