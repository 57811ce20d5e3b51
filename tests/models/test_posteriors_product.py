"""Products of posteriors and of priors: sums of what their parts have, from noise of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from linear_gaussian import UNBIASED, worst_z_score
from loss_problem import F64, normal

from vaekern import objectives, priors
from vaekern.posteriors import DiagonalGaussian, FullGaussian, Product, Transformed, VonMisesFisher

B = 3


def gaussian(seed: int = 0, d: int = 2) -> DiagonalGaussian:
    return DiagonalGaussian(normal(B, d, seed=seed), normal(B, d, seed=seed + 1))


def spheres() -> VonMisesFisher:
    return VonMisesFisher(normal(B, 2, 4, seed=5), normal(B, 2, 1, seed=6).exp())


def product() -> Product:
    return Product(gaussian(), spheres())


def its_prior() -> priors.Product:
    return priors.Product(priors.LearnedGaussian(2, 0.3), priors.UniformSphere((2, 4))).double()


def test_values_are_sums_over_parts() -> None:
    q, prior = product(), its_prior()
    one, other = q.parts
    z, log_prob = q.sample_with_log_prob(seed=3)
    first, second = q.split(z)
    assert (z.shape, second.shape, q.latent_shape) == ((B, 10), (B, 2, 4), (10,))
    torch.testing.assert_close(log_prob, one.log_prob(first) + other.log_prob(second))
    torch.testing.assert_close(q.log_prob(z), log_prob)
    torch.testing.assert_close(q.entropy(), one.entropy() + other.entropy())
    of_first, of_second = prior.factors()
    torch.testing.assert_close(q.kl(prior), one.kl(of_first) + other.kl(of_second))
    torch.testing.assert_close(
        prior.log_prob(z), of_first.log_prob(first) + of_second.log_prob(second)
    )
    for name in ("mean", "mode", "stddev", "location"):
        whole = getattr(q, name)
        parts = [getattr(part, name).flatten(1) for part in q.parts]
        torch.testing.assert_close(whole, torch.cat(parts, 1))


def test_of_gaussians_it_is_the_gaussian() -> None:
    one, other = gaussian(), gaussian(8, 3)
    mu, logvar = (torch.cat(pair, 1) for pair in zip(one.tensors, other.tensors, strict=True))
    whole, q = DiagonalGaussian(mu, logvar), Product(one, other)
    z = normal(B, 5, seed=20)
    torch.testing.assert_close(q.log_prob(z), whole.log_prob(z))
    torch.testing.assert_close(q.kl(), whole.kl())
    mixture = priors.MixtureOfGaussians(3, 5).double()  # of the whole: no product
    drawn, kl = q.sample_with_kl(mixture, seed=1)
    torch.testing.assert_close(kl, q.log_prob(drawn) - mixture.log_prob(drawn))


def test_parts_have_noise_of_their_own() -> None:
    n = 20_000
    nothing = torch.zeros(n, 1, dtype=F64)
    alike = [DiagonalGaussian(nothing, nothing) for _ in range(3)]
    z = Product(*alike).rsample(seed=7)
    assert torch.equal(z[:, :1], alike[0].rsample(seed=7))
    products = torch.stack([z[:, 0] * z[:, 1], z[:, 0] * z[:, 2], z[:, 1] * z[:, 2]], 1)
    assert worst_z_score(products, torch.zeros(3)) < UNBIASED
    assert torch.equal(z, Product(*alike).rsample(seed=7))
    seeded = [
        Product(*alike).rsample(generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2)
    ]
    assert torch.equal(seeded[0], seeded[1])
    assert not torch.equal(seeded[0], seeded[2])


def test_divergences_of_parts_without_a_closed_form_are_estimated() -> None:
    prior = priors.Product(priors.MixtureOfGaussians(3, 2), priors.UniformSphere((2, 4))).double()
    q = product()
    z, kl = q.sample_with_kl(prior, seed=2)
    first, _ = q.split(z)
    mixture, sphere = prior.factors()
    estimate = q.parts[0].log_prob(first) - mixture.log_prob(first)
    torch.testing.assert_close(kl, estimate + q.parts[1].kl(sphere))
    with pytest.raises(NotImplementedError, match=r"kl: no closed form of KL.Product .. Product.;"):
        q.kl(prior)


def test_gradients_and_rearrangements() -> None:
    leaves = [normal(B, 2), normal(B, 2, seed=1), normal(B, 5), normal(B, 1).exp()]
    leaves = [leaf.requires_grad_() for leaf in leaves]
    q = Product(DiagonalGaussian(*leaves[:2]), VonMisesFisher(*leaves[2:]))
    z, log_prob = q.sample_with_log_prob(seed=1)
    gradients = torch.autograd.grad(
        z.square().sum() + (z * normal(B, 7)).sum() + log_prob.sum(), leaves
    )
    assert all([g.abs().max() > 0.0 for g in gradients])
    still = q.detach().log_prob(z.detach().requires_grad_())
    unused = torch.autograd.grad(still.sum(), leaves, allow_unused=True)
    assert all([g is None for g in unused])
    assert q.expand(5).rsample(seed=1).shape == (5, B, 7)
    nested = Product(Product(gaussian(), spheres()), gaussian())
    assert [type(part) for part in nested.parts] == [
        DiagonalGaussian,
        VonMisesFisher,
        DiagonalGaussian,
    ]
    half = Product(*[part.map(torch.Tensor.bfloat16) for part in product().parts])
    z, log_prob = half.sample_with_log_prob(seed=1)
    assert (z.dtype, log_prob.dtype) == (torch.bfloat16, torch.float32)


def test_torch_takes_it_apart() -> None:
    each = torch.func.vmap(lambda mu: Product(DiagonalGaussian(mu, mu), FullGaussian(mu, eye)))
    eye = torch.eye(2, dtype=F64).expand(B, 2, 2)
    found = each(normal(4, B, 2))
    assert (found.batch_dims, found.latent_shape, len(found.parts)) == (2, (4,), 2)


def test_bounds() -> None:
    """With p(x | z) = q(z | x) / p(z) every weight is 1."""
    q = product()
    for estimator in ("iwae", "stl", "dreg"):
        weights = objectives.posterior_log_weights(
            lambda z: q.expand(z.shape[0]).log_prob(z), q, 6, estimator=estimator, seed=1
        )
        torch.testing.assert_close(weights, torch.zeros(6, B, dtype=F64))


def test_samples_of_the_prior() -> None:
    prior = its_prior()
    z = prior.sample(2_000, generator=torch.Generator().manual_seed(1))
    assert z.shape == (2_000, 10)
    torch.testing.assert_close(
        z[:, 2:].unflatten(1, (2, 4)).norm(dim=2), torch.ones(2_000, 2, dtype=F64)
    )
    assert not torch.equal(*prior.sample(2).split(1))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (Product, ValueError, "parts: .*got none"),
        (lambda: Product(torch.ones(3)), TypeError, "parts: .*Tensor"),
        (lambda: Product(gaussian(), one_more()), ValueError, r"parts: .*\(3,\).*\(4,\)"),
        (lambda: product().kl(), ValueError, r"prior: .*unit vectors.*N\(0, I\)"),
        (lambda: product().kl(priors.StandardNormal(10)), ValueError, "prior: .*StandardNormal"),
        (lambda: product().kl(priors.Product(priors.StandardNormal(2))), ValueError, "2 parts.*1"),
        (lambda: product().log_prob(torch.ones(B, 9)), ValueError, r"z: .*10.*\(3, 9\)"),
        (lambda: product().rsample(eps=torch.ones(B, 10)), ValueError, "eps: expected None"),
        (lambda: Transformed(product(), []), ValueError, "base: "),
        (lambda: its_prior().log_prob(torch.ones(B, 9)), ValueError, r"z: .*\(10,\).*\(3, 9\)"),
        (priors.Product, ValueError, "parts: .*got none"),
        (lambda: priors.Product(torch.nn.Linear(1, 1)), TypeError, "parts: .*Linear"),
        (lambda: priors.Product(priors.Prior()), ValueError, "parts: .*latent_shape.*Prior"),
    ],
)  # fmt: skip
def test_errors(make: Callable[..., Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def one_more() -> DiagonalGaussian:
    return DiagonalGaussian(torch.zeros(4, 2), torch.zeros(4, 2))
