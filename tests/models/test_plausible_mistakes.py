"""Plausible wrong calls: an error, as early as it can be known, that names the argument, what it
got and what it wanted."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vaekern as vk
from vaekern import objectives, posteriors, priors

MU, LOGVAR, X = torch.zeros(5, 2), torch.zeros(5, 2), torch.rand(5, 6)
POSTERIOR = posteriors.DiagonalGaussian(MU, LOGVAR)


class Encoder(nn.Linear):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).chunk(2, dim=-1)


class NoPrior(nn.Module):
    def log_prob(self, z: Tensor) -> Tensor:
        return z.sum(-1)

    def sample(self, num_samples: int) -> Tensor:
        return torch.zeros(num_samples, 2)


def model(**options: Any) -> vk.VAE:
    return vk.VAE(Encoder(6, 4), nn.Linear(2, 6), latent_shape=2, **options)


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    # how many
    "samples": (lambda: model().sample("3"), "num_samples: expected an int, got str"),
    "samples of a half": (
        lambda: model().log_marginal_likelihood(X, 2.5), "num_samples: expected an int, got float"
    ),
    "of no x": (lambda: model().elbo(X, 0), "num_samples: expected at least 1, got 0"),
    "of a bound": (
        lambda: objectives.importance_weighted(model(), X, 2.5),
        "num_samples: expected an int, got float",
    ),
    "chunks": (
        lambda: objectives.log_weights(lambda z: z.sum(-1), MU, LOGVAR, 4, chunk_size=0.5),
        "chunk_size: expected an int, got float",
    ),
    "components": (
        lambda: priors.MixtureOfGaussians(2.5, 2), "num_components: expected an int, got float"
    ),
    "total": (lambda: vk.MultinomialLikelihood(2.5), "total: expected an int, got float"),
    "a negative total": (
        lambda: vk.MultinomialLikelihood(-1), "total: expected at least 0, got -1"
    ),
    "batches in place of datapoints": (
        lambda: objectives.decomposed_kl(MU, MU, LOGVAR, 3),
        "dataset_size: expected at least the 5 datapoints given, got 3",
    ),
    "batch_dims": (
        lambda: vk.gaussian_kl(MU, LOGVAR, batch_dims=1.0), "batch_dims: expected an int, got float"
    ),
    # numbers
    "order": (
        lambda: objectives.renyi_bound(torch.zeros(4, 3), "0.5"),
        "alpha: expected a number, got str",
    ),
    "momentum": (
        lambda: vk.OptimalGaussianLikelihood(momentum="0.1"),
        "momentum: expected a number, got str",
    ),
    "degrees of freedom": (
        lambda: vk.StudentTLikelihood(df=0.0), "df: expected a positive number, got 0.0"
    ),
    "a negative deviation": (
        lambda: vk.GaussianLikelihood(-1.0, scale="std"),
        "logvar: expected a deviation, 0 or more, got -1.0",
    ),
    "one bound": (
        lambda: vk.GaussianLikelihood(logvar_clamp=3.0),
        "logvar_clamp: expected a tuple (low, high) of numbers, got 3.0",
    ),
    "bounds the other way round": (
        lambda: model(logvar_clamp=(3.0, 1.0)),
        "logvar_clamp: expected (low, high) with low <= high, got (3.0, 1.0)",
    ),
    "bounds of no numbers": (
        lambda: vk.OptimalGaussianLikelihood(logvar_clamp=("a", 1.0)),
        "logvar_clamp: expected a number, got str",
    ),
    # things of another kind
    "a seed as the generator": (
        lambda: vk.reparameterize(MU, LOGVAR, generator=3),
        "generator: expected a torch.Generator, got int",
    ),
    "a module that is no prior": (
        lambda: model(prior=NoPrior()),
        "prior: expected a vaekern.priors.Prior or ConditionalPrior, or a subclass of one, got "
        "NoPrior",
    ),
    "a name as the prior": (
        lambda: POSTERIOR.kl("standard"),
        "prior: expected a vaekern.priors.Prior, a posterior or None, got str",
    ),
    "a mean as the prior": (
        lambda: POSTERIOR.sample_with_kl(MU),
        "prior: expected a vaekern.priors.Prior, a posterior or None, got Tensor",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str) -> None:
    call, message = MISTAKES[name]
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}$"):
        call()


@pytest.mark.parametrize("scale", ["logvar", "log_std", "std"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_bounds_beyond_the_dtype_are_no_bounds(dtype: torch.dtype, scale: str) -> None:
    for bound in (1e6, 1e60, float("inf")):
        spread = torch.full((2, 3), 1.5, dtype=dtype)
        options: dict[str, Any] = {"scale": scale}
        got = vk.gaussian_kl(
            torch.zeros_like(spread), spread, **options, logvar_clamp=(-bound, bound)
        )
        assert torch.equal(got, vk.gaussian_kl(torch.zeros_like(spread), spread, **options))


def test_what_counts_as_an_int_or_a_number() -> None:
    """As numpy's scalars do."""
    numpy = pytest.importorskip("numpy")
    assert model().sample(numpy.int64(3)).shape == (3, 6)
    assert vk.GaussianLikelihood(logvar_clamp=(numpy.float64(-1), 1)).logvar_clamp == (-1.0, 1.0)
