"""Bounds of a whole model: against torch.distributions, in chunks, under torch.compile."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from linear_gaussian import ESTIMATORS, UNBIASED, N, generator
from sampling import one_in
from torch import Tensor, nn
from torch.distributions import Normal

import vaekern as vk
from vaekern import objectives


class Encoder(nn.Module):
    def __init__(self, pixels: int, latent: int) -> None:
        super().__init__()
        self.layer = nn.Linear(pixels, 2 * latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.layer(x.flatten(1)).chunk(2, -1)
        return mu, logvar


class Decoder(nn.Module):
    def __init__(self, latent: int, shape: tuple[int, ...], parameters: str = "mean") -> None:
        super().__init__()
        self.layer = nn.Linear(latent, math.prod(shape))
        self.spread = nn.Linear(latent, math.prod(shape))
        self.shape, self.returned = shape, parameters

    def forward(self, z: Tensor) -> Any:
        mean = self.layer(z).unflatten(1, self.shape)
        if self.returned == "mean":
            return mean
        full = self.spread(z).unflatten(1, self.shape)
        each = {"full": full, "shared": full[:1], "event": full[0], "scalar": full.mean()}
        return mean, each[self.returned]


def model_of(likelihood: Any = "bernoulli", parameters: str = "mean") -> vk.VAE:
    torch.manual_seed(0)
    shape = (2, 3, 2)
    model = vk.VAE(Encoder(12, 4), Decoder(4, shape, parameters), likelihood, scale="log_std")
    return model.double()


def images(n: int = 5) -> Tensor:
    return torch.rand(n, 2, 3, 2, dtype=torch.float64, generator=generator(6))


@pytest.mark.parametrize("parameters", ["mean", "full", "shared", "event", "scalar"])
def test_model_weights_are_the_densities(parameters: str) -> None:
    """Against torch.distributions, sample by sample."""
    k, x = 3, images()
    model = model_of("gaussian", parameters)
    eps = torch.randn(k, 5, 4, dtype=torch.float64, generator=generator(8))
    found = objectives.model_log_weights(model, x, k, eps=eps)
    mu, log_std = model.encode(x)
    q = Normal(mu, log_std.exp())
    z = mu + log_std.exp() * eps
    outputs = model.decoder(z.flatten(0, 1))  # in one batch, as some parameters depend on it
    mean, logvar = (outputs, torch.zeros(())) if parameters == "mean" else outputs
    p = Normal(mean, torch.exp(0.5 * logvar).double())
    log_likelihood = p.log_prob(x.repeat(k, 1, 1, 1)).flatten(1).sum(1).unflatten(0, (k, 5))
    expected = log_likelihood + Normal(0.0, 1.0).log_prob(z).sum(2) - q.log_prob(z).sum(2)
    torch.testing.assert_close(found, expected)


def test_target_is_not_repeated() -> None:
    class Spy(vk.BernoulliLikelihood):
        def log_prob(self, decoder_output: Any, x: Tensor, *, batch_dims: int = 1) -> Tensor:
            assert x.stride(0) == 0
            assert x.shape[:2] == (4, 5)
            return super().log_prob(decoder_output, x, batch_dims=batch_dims)

    bound = objectives.importance_weighted(model_of(Spy()), images(), 4)
    assert bound.shape == (5,)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_chunks_change_memory_only(estimator: str) -> None:
    model, x = model_of(), images()
    decoded: list[int] = []
    model.decoder.register_forward_pre_hook(lambda _, inputs: decoded.append(inputs[0].shape[0]))
    parameters = [*model.encoder.parameters(), *model.decoder.layer.parameters()]
    results = []
    for chunk_size, forward, backward in ((None, [35], []), (3, [15, 15, 5], [5, 15, 15])):
        decoded.clear()
        bound = objectives.importance_weighted(
            model, x, 7, estimator=estimator, chunk_size=chunk_size, seed=4
        )
        assert decoded == forward
        results.append([bound.detach(), *torch.autograd.grad(bound.mean(), parameters)])
        assert decoded == forward + backward
    torch.testing.assert_close(results[1], results[0])


def test_chunks_without_gradients_are_decoded_once() -> None:
    model, decoded = model_of(), []
    model.decoder.register_forward_pre_hook(lambda _, inputs: decoded.append(inputs[0].shape[0]))
    with torch.no_grad():
        objectives.importance_weighted(model, images(), 7, chunk_size=3)
    assert decoded == [15, 15, 5]


def test_estimates_agree_with_the_model() -> None:
    """The sampled KL divergence has the mean of the analytic one."""
    model, x = model_of(), images(1)
    many = x.expand(N, 2, 3, 2)
    with torch.no_grad():
        sampled = objectives.monte_carlo_elbo(model, many, 2, seed=1)
        analytic = torch.stack([model.elbo(many) for _ in range(2)]).mean(0)
    error = math.hypot(sampled.std().item(), analytic.std().item()) / N**0.5
    assert abs(sampled.mean() - analytic.mean()).item() < UNBIASED * error


def test_monte_carlo_elbo_sticks_the_landing() -> None:
    model, x = model_of(), images()
    values, found = [], []
    for stick in (False, True):
        value = objectives.monte_carlo_elbo(model, x, 3, stick_the_landing=stick, seed=2)
        values.append(value)
        leaf = model.encoder.layer.weight, model.decoder.layer.weight
        found.append(torch.autograd.grad(value.sum(), leaf))
    assert torch.equal(values[0], values[1])
    torch.testing.assert_close(found[0][1], found[1][1])
    assert not torch.allclose(found[0][0], found[1][0])


# torch's compiler does so itself, for every autograd function that it traces.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("chunk_size", one_in(2, [2, None]))
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_under_compile(estimator: str, chunk_size: int | None) -> None:
    model, x = model_of(), images()
    eps = torch.randn(4, 5, 4, dtype=torch.float64, generator=generator(9))

    def loss() -> Tensor:
        return -objectives.importance_weighted(
            model, x, 4, estimator=estimator, chunk_size=chunk_size, eps=eps
        ).mean()

    parameters = [*model.encoder.parameters(), *model.decoder.layer.parameters()]
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")()
    torch.testing.assert_close(compiled, loss())
    torch.testing.assert_close(
        torch.autograd.grad(compiled, parameters), torch.autograd.grad(loss(), parameters)
    )
