"""Autocast is for networks: the arithmetic of posteriors, priors, objectives and likelihoods is
what it is without, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import vaekern as vk
from vaekern import objectives, posteriors, priors

B, D = 32, 20


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _tril(seed: int) -> Tensor:
    tril = torch.tril(0.1 * _normal(B, D, D, seed=seed), -1)
    return tril + torch.diag_embed(_normal(B, D, seed=seed + 1).abs() + 0.5)


def _low_rank(mu: Tensor, logvar: Tensor) -> posteriors.LowRankGaussian:
    return posteriors.LowRankGaussian(mu, _normal(B, D, 3, seed=9), logvar)


def _full(mu: Tensor, logvar: Tensor) -> posteriors.FullGaussian:
    spread = torch.diag_embed(torch.exp(0.5 * logvar))
    return posteriors.FullGaussian(mu, torch.tril(_tril(3), -1) + spread)


PRIOR = posteriors.FullGaussian(_normal(B, D, seed=5), _tril(6))
EPS, OTHER = _normal(B, D, seed=7), _normal(B, D, seed=8)
MIXTURE = priors.MixtureOfGaussians(5, D)
WEIGHTS = _normal(B, seed=11).exp()

#: Of means and log-variances [B, D].
FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mmd": lambda mu, _: objectives.mmd(mu, OTHER),
    "mmd unbiased": lambda mu, _: objectives.mmd(mu, OTHER, unbiased=True, bandwidth=3.0),
    "free bits": lambda mu, v: objectives.free_bits_kl(mu, v, free_bits=0.2, weights=WEIGHTS),
    "balanced": lambda mu, v: objectives.balanced_kl(mu, v, OTHER, EPS),
    "decomposed": lambda mu, v: torch.stack(
        objectives.decomposed_kl(mu + torch.exp(0.5 * v) * EPS, mu, v, 100)
    ),
    "importance weights": lambda mu, v: objectives.importance_weighted_bound(
        objectives.log_weights(
            lambda z: objectives.standard_normal_log_density(z, batch_dims=2), mu, v, 4, seed=1
        )
    ),
    "renyi": lambda mu, _: objectives.renyi_bound(mu, 0.5),
    "full sample": lambda mu, v: _full(mu, v).rsample(EPS),
    "full kl": lambda mu, v: _full(mu, v).kl(),
    "full kl to a full one": lambda mu, v: _full(mu, v).kl(PRIOR),
    "kl to a full one": lambda mu, v: PRIOR.kl(_full(mu, v)),
    "full log_prob": lambda mu, v: _full(mu, v).log_prob(OTHER),
    "full entropy": lambda mu, v: _full(mu, v).entropy(),
    "low rank sample": lambda mu, v: _low_rank(mu, v).rsample(torch.cat([EPS, EPS[:, :3]], 1)),
    "low rank density of samples": lambda mu, v: _low_rank(mu, v).sample_with_log_prob(seed=3)[1],
    "low rank kl": lambda mu, v: _low_rank(mu, v).kl(),
    "low rank log_prob": lambda mu, v: _low_rank(mu, v).log_prob(OTHER),
    "low rank entropy": lambda mu, v: _low_rank(mu, v).entropy(),
    "mixture": lambda mu, _: MIXTURE.log_prob(mu),
    "elbo": lambda mu, v: vk.elbo_loss(mu, OTHER.sigmoid(), mu, v, weights=WEIGHTS),
    "multinomial": lambda mu, _: vk.multinomial_log_likelihood(mu, OTHER.abs().round()),
    "logistic mixture": lambda mu, _: vk.logistic_mixture_log_likelihood(
        mu[:, :, None].expand(B, D, 4), OTHER[:, :12].reshape(B, 3, 4).tanh()
    ),
    "zero-inflated mean": lambda mu, v: vk.ZeroInflatedNegativeBinomialLikelihood().mean((mu, v)),
    "levels' mean": lambda mu, v: vk.DiscretizedLogisticLikelihood().mean((mu, v)),
}


def _value_and_gradients(
    function: Callable[[Tensor, Tensor], Tensor], autocast: bool
) -> tuple[Tensor, tuple[Tensor | None, ...]]:
    """With the backward under autocast too, as some write it."""
    leaves = [_normal(B, D, seed=k).requires_grad_() for k in (1, 2)]
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        value = function(*leaves)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        gradients = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
    return value.detach(), gradients


@pytest.mark.parametrize("where", ["cpu", "reference"])
@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_nothing_of_it_is_in_half_precision(name: str, where: str) -> None:
    with vk.backend(where):
        want, wanted = _value_and_gradients(FUNCTIONS[name], autocast=False)
        got, found = _value_and_gradients(FUNCTIONS[name], autocast=True)
    assert got.dtype is torch.float32
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)
    for gradient, expected in zip(found, wanted, strict=True):
        if expected is not None:
            assert gradient is not None
            scale = expected.abs().max().item()
            torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5 * scale)


def test_the_layers_of_a_network_are_in_half_precision() -> None:
    """Or the comparison above says nothing."""
    layer = nn.Linear(D, D)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(EPS).dtype is torch.bfloat16


def test_the_last_layer_is_a_layer_and_its_likelihood_is_not() -> None:
    weight, x = _normal(7, D, seed=1), _normal(B, 7, seed=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = vk.linear_gaussian_log_likelihood(EPS, weight, None, x)
        mean = nn.functional.linear(EPS, weight)
    assert mean.dtype is torch.bfloat16
    assert got.dtype is torch.float32
    torch.testing.assert_close(got, vk.gaussian_log_likelihood(mean, x), rtol=1e-5, atol=1e-5)
