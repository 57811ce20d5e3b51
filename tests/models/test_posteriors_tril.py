"""Gaussians with full covariance: against torch.distributions, near the prior in many digits."""

from __future__ import annotations

from typing import Any

import mpmath
import pytest
import torch
from loss_problem import F64, normal
from mpmath import mpf
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

import vaekern as vk
from vaekern import posteriors

B, D = 3, 4


def cholesky(*batch: int, d: int = D, seed: int = 0, dtype: torch.dtype = F64) -> Tensor:
    raw = normal(*batch, d, d, seed=seed)
    return posteriors.tril_from_matrix(raw, floor=0.1).to(dtype)


PRIORS = {
    "standard": {},
    "mean": {"prior_mu": normal(D, seed=3)},
    "shared": {"prior_mu": 0.3, "prior_tril": cholesky(seed=4)},
    "one each": {"prior_mu": normal(B, D, seed=5), "prior_tril": cholesky(B, seed=6)},
    "one for all": {"prior_tril": cholesky(1, seed=7)},
}


@pytest.mark.parametrize("library", [vk, vk.reference])
@pytest.mark.parametrize("prior", PRIORS)
def test_kl_and_gradients_are_those_of_torch(prior: str, library: Any) -> None:
    tensors = {"mu": normal(B, D, seed=1), "tril": cholesky(B, seed=2), **PRIORS[prior]}
    leaves = {k: t.clone().requires_grad_() for k, t in tensors.items() if isinstance(t, Tensor)}
    arguments = {**tensors, **leaves}
    found = library.gaussian_kl_tril(**arguments)
    m = arguments.get("prior_mu", 0.0) + torch.zeros(B, D, dtype=F64)
    p = arguments.get("prior_tril", torch.eye(D, dtype=F64)).expand(B, D, D)
    q = MultivariateNormal(arguments["mu"], scale_tril=arguments["tril"])
    expected = kl_divergence(q, MultivariateNormal(m, scale_tril=p))
    torch.testing.assert_close(found, expected)
    weights, inputs = normal(B, seed=8), list(leaves.values())
    gradients = torch.autograd.grad((weights * found).sum(), inputs)
    wanted = torch.autograd.grad((weights * expected).sum(), inputs)
    for got, want in zip(gradients, wanted, strict=True):  # torch's has a gradient above, too
        torch.testing.assert_close(got, want if got.dim() < 2 or got.shape[-1] != got.shape[-2]
                                   else torch.tril(want))  # fmt: skip


def test_datapoints_of_several_vectors() -> None:
    mu, tril = normal(2, 3, 5, D), cholesky(2, 3, 5)
    each = vk.gaussian_kl_tril(mu, tril, 0.5, cholesky(5, seed=1), batch_dims=2)
    alone = vk.gaussian_kl_tril(mu, tril, 0.5, cholesky(5, seed=1).expand(2, 3, 5, D, D),
                                batch_dims=3)  # fmt: skip
    assert each.shape == (2, 3)
    torch.testing.assert_close(each, alone.sum(2))
    torch.testing.assert_close(vk.gaussian_kl_tril(mu, tril, batch_dims=0),
                               vk.gaussian_kl_tril(mu, tril, batch_dims=3).sum())  # fmt: skip


def exact_kl(mu: Tensor, tril: Tensor, m: Tensor, prior: Tensor) -> mpf:
    with mpmath.workprec(400):
        lower, onto = (mpmath.matrix(t.double().tolist()) for t in (tril, prior))
        columns = [mpmath.lu_solve(onto, lower[:, k]) for k in range(lower.cols)]
        shift = mpmath.lu_solve(onto, mpmath.matrix((mu.double() - m.double()).tolist()))
        squares = sum(v**2 for column in [*columns, shift] for v in column)
        logs = sum(mpmath.log(lower[k, k] / onto[k, k]) for k in range(lower.rows))
        return (squares - lower.rows) / 2 - logs


@pytest.mark.parametrize("size", [1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("standard", [True, False])
def test_digits_near_the_prior_in_single(standard: bool, size: float) -> None:
    """Where torch has none: its log-determinants and traces are of order 1."""
    f32, rounding = torch.float32, 2.0**-24
    prior = torch.eye(D) if standard else cholesky(dtype=f32)
    m = torch.zeros(D) if standard else normal(D, seed=1, dtype=f32)
    tril = prior + size * torch.tril(normal(D, D, seed=2, dtype=f32).abs())
    mu = m + size * normal(D, seed=3, dtype=f32)
    given = () if standard else (m, prior)
    found = vk.gaussian_kl_tril(mu, tril, *given, batch_dims=0).item()
    exact = exact_kl(mu, tril, m, prior)
    assert abs(found - exact) < 40 * rounding * exact
    if size == 1e-4:
        q, p = MultivariateNormal(mu, scale_tril=tril), MultivariateNormal(m, scale_tril=prior)
        assert abs(kl_divergence(q, p).item() - exact) > 10 * 40 * rounding * exact


def test_gradients_twice() -> None:
    inputs = [t.requires_grad_() for t in (normal(2, 3), cholesky(2, d=3), normal(3, seed=4),
                                           cholesky(d=3, seed=5))]  # fmt: skip
    torch.autograd.gradcheck(vk.gaussian_kl_tril, inputs)
    torch.autograd.gradgradcheck(vk.gaussian_kl_tril, inputs)
    torch.autograd.gradcheck(lambda m, t: vk.sample_tril(m, t, seed=3), inputs[:2])
    torch.autograd.gradcheck(vk.sample_tril, [*inputs[:2], normal(2, 3).requires_grad_()])


@pytest.mark.parametrize("library", [vk, vk.reference])
def test_samples(library: Any) -> None:
    mu, std = normal(B, D, dtype=torch.float32), normal(B, D, seed=1, dtype=torch.float32).exp()
    z = library.sample_tril(mu, torch.diag_embed(std), seed=7)
    torch.testing.assert_close(z, vk.reparameterize(mu, std, seed=7, scale="std"))
    tril, n = cholesky(dtype=torch.float32), 40_000
    many = library.sample_tril(torch.full((n, D), 0.5), tril.expand(n, D, D), seed=1)
    covariance = tril @ tril.mT
    assert (many.mean(0) - 0.5).abs().max() < 5 * (covariance.diagonal().max() / n).sqrt()
    assert (many.T.cov() - covariance).abs().max() < 8 * covariance.max() / n**0.5


def test_nothing_above_the_diagonal_is_read() -> None:
    mu, tril = normal(B, D), cholesky(B)
    above = torch.ones(D, D).triu(1).bool()
    dirty = torch.where(above, torch.nan, tril).requires_grad_()
    for function in (lambda t: vk.sample_tril(mu, t, seed=1), lambda t: vk.gaussian_kl_tril(mu, t),
                     lambda t: vk.gaussian_kl_tril(mu, t, None, t.roll(1, 0))):  # fmt: skip
        found = function(dirty)
        torch.testing.assert_close(found, function(tril))
        (gradient,) = torch.autograd.grad(found.sum(), dirty)
        assert torch.equal(gradient, torch.tril(gradient))


def test_half_precision_is_widened() -> None:
    mu, tril = normal(B, D).bfloat16(), cholesky(B).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        kl = vk.gaussian_kl_tril(mu, tril, 0.2, tril[:1])
        z = vk.sample_tril(mu, tril, seed=1)
        wide = vk.sample_tril(mu.float(), tril.float(), seed=1)
    assert (z.dtype, kl.dtype, wide.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    exact_kl = vk.gaussian_kl_tril(mu.double(), tril.double(), 0.2, tril[:1].double())
    torch.testing.assert_close(kl.double(), exact_kl, rtol=1e-6, atol=0.0)
    exact = vk.sample_tril(mu.double(), tril.double(), seed=1)
    torch.testing.assert_close(wide.double(), exact, rtol=1e-5, atol=1e-5)
    assert torch.equal(z, wide.bfloat16())


def test_under_compile_and_vmap() -> None:
    mu, tril, prior = normal(B, D), cholesky(B).requires_grad_(), cholesky(seed=1)

    def f(t: Tensor) -> Tensor:
        z = vk.sample_tril(mu, t, seed=1)
        return vk.gaussian_kl_tril(mu, t, 0.1, prior) + z.square().sum(1)

    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")(tril)
    torch.testing.assert_close(compiled, f(tril))
    (expected,) = torch.autograd.grad(f(tril).sum(), tril)
    torch.testing.assert_close(torch.autograd.grad(compiled.sum(), tril)[0], expected)
    one_by_one = torch.vmap(lambda m, t: vk.gaussian_kl_tril(m, t, 0.1, prior, batch_dims=0))
    torch.testing.assert_close(one_by_one(mu, tril), vk.gaussian_kl_tril(mu, tril, 0.1, prior))


T = torch.zeros
WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"tril": T(2, 3)}, ValueError, r"tril: expected shape \(2, 3, 3\).*got \(2, 3\)"),
    ({"tril": T(3, 3)}, ValueError, r"tril: .*\(2, 3, 3\).*got \(3, 3\)"),
    ({"tril": T(2, 3, 3).long()}, TypeError, "tril: .*float32.*int64"),
    ({"tril": 1.0}, TypeError, "tril: expected a tensor, got float"),
    ({"tril": T(2, 3, 3, device="meta")}, ValueError, "tril: .*cpu.*meta"),
    ({"mu": T(())}, ValueError, "mu: expected at least one dimension"),
    ({"batch_dims": 2}, ValueError, r"batch_dims: expected at most 1.*got 2"),
    ({"batch_dims": -1}, ValueError, r"batch_dims: .*got -1"),
]


@pytest.mark.parametrize(("instead", "error", "message"), WRONG)
@pytest.mark.parametrize("function", ["sample_tril", "gaussian_kl_tril"])
def test_errors(
    function: str, instead: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments = {"mu": T(2, 3), "tril": T(2, 3, 3), **instead}
    with pytest.raises(error, match=message):
        getattr(vk, function)(**arguments)


@pytest.mark.parametrize(
    ("instead", "error", "message"),
    [
        ({"prior_tril": T(2, 2)}, ValueError, r"prior_tril: expected matrices \(3, 3\).*\(2, 2\)"),
        ({"prior_tril": T(4, 3, 3)}, ValueError, r"prior_tril: .*got \(4, 3, 3\)"),
        ({"prior_tril": 1.0}, TypeError, "prior_tril: expected a tensor, got float"),
        ({"prior_mu": T(2), "prior_tril": T(3, 3)}, ValueError, r"prior_mu: .*got \(2,\)"),
        ({"prior_mu": T(2)}, ValueError, r"prior_mu: .*got \(2,\)"),
    ],
)
def test_errors_of_the_prior(instead: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        vk.gaussian_kl_tril(T(2, 3), T(2, 3, 3), **instead)


@pytest.mark.parametrize(
    ("instead", "message"),
    [
        ({"eps": T(3)}, r"eps: expected shape \(2, 3\).*got \(3,\)"),
        ({"eps": T(2, 3), "seed": 1}, "eps and seed: expected at most one"),
    ],
)
def test_errors_of_the_noise(instead: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vk.sample_tril(T(2, 3), T(2, 3, 3), **instead)


# --- from raw numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("diagonal", ["exp", "softplus"])
def test_cholesky_factors_from_raw_numbers(diagonal: str) -> None:
    raw = 10.0 * normal(2, D, D)
    raw[0, 0, 0] = 21.0  # from 20 on, torch's softplus is the identity
    raw.requires_grad_()
    tril = posteriors.tril_from_matrix(raw, diagonal, floor=0.25)
    on_diagonal = raw.diagonal(dim1=-2, dim2=-1)
    if diagonal == "exp":
        expected = on_diagonal.exp()
    else:  # without overflow, and with all digits of float64
        expected = on_diagonal.clamp(min=0) + torch.log1p(torch.exp(-on_diagonal.abs()))
    found = tril.diagonal(dim1=-2, dim2=-1) - 0.25
    torch.testing.assert_close(found, expected, rtol=1e-15, atol=1e-14)
    assert torch.equal(tril.tril(-1), raw.tril(-1))
    assert torch.equal(tril.triu(1), torch.zeros_like(tril))
    rows, columns = torch.tril_indices(D, D)
    packed = raw[:, rows, columns]
    assert torch.equal(posteriors.tril_from_packed(packed, diagonal, floor=0.25), tril)
    small = normal(2, 6).requires_grad_()
    torch.autograd.gradcheck(lambda r: posteriors.tril_from_packed(r, diagonal), small)
    assert posteriors.tril_from_packed(packed.half(), diagonal).dtype is torch.float32


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("tril_from_matrix", (T(2, 3),), r"raw: expected square.*\(2, 3\)"),
        ("tril_from_packed", (T(2, 4),), r"raw: .*D \(D \+ 1\) / 2.*\(2, 4\)"),
        ("tril_from_packed", (T(2, 3), "relu"), "through: expected one of.*'relu'"),
        ("positive", (T(2), "exp", -1.0), "floor: .*-1.0"),
    ],
)
def test_errors_of_raw_numbers(function: str, arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(posteriors, function)(*arguments)
