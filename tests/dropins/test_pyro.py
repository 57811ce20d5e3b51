"""Pyro's ELBO with closed-form divergences, inside ``with distributions():``, and a loss of its
own in the place of that ELBO."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import vaekern as vk
from vaekern.compat import distributions, pytorch_examples

pyro = pytest.importorskip("pyro", reason="pip install pyro-ppl")

dist = pyro.distributions
torch.distributions.Distribution.set_default_validate_args(__debug__)  # Pyro's import unsets it


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(12, 8), nn.Linear(4, 12)

    def model(self, x: torch.Tensor) -> None:
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", x.shape[0]):
            prior = dist.Normal(x.new_zeros(x.shape[0], 4), x.new_ones(x.shape[0], 4))
            z = pyro.sample("z", prior.to_event(1))
            likelihood = dist.Bernoulli(logits=self.decoder(z), validate_args=False)
            pyro.sample("x", likelihood.to_event(1), obs=x)

    def guide(self, x: torch.Tensor) -> None:
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", x.shape[0]):
            mean, logvar = self.encoder(x).chunk(2, dim=-1)
            pyro.sample("z", dist.Normal(mean, torch.exp(0.5 * logvar)).to_event(1))


def loss_and_gradients(autoencoder: Autoencoder, x: torch.Tensor) -> list[torch.Tensor]:
    torch.manual_seed(0)
    elbo = pyro.infer.TraceMeanField_ELBO()
    loss = elbo.differentiable_loss(autoencoder.model, autoencoder.guide, x)
    return [loss, *torch.autograd.grad(loss, list(autoencoder.parameters()))]


def test_elbo(kernels_called: list[str]) -> None:
    torch.manual_seed(1)
    autoencoder, x = Autoencoder(), torch.rand(7, 12)
    want = loss_and_gradients(autoencoder, x)
    assert not kernels_called
    with distributions():
        got = loss_and_gradients(autoencoder, x)
    assert {"gaussian_kl", "bernoulli_log_likelihood"} <= set(kernels_called)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)


def trained(autoencoder: Autoencoder, x: torch.Tensor, loss: Any) -> list[torch.Tensor]:
    """Losses of three steps, and the parameters then."""
    autoencoder = copy.deepcopy(autoencoder)
    pyro.clear_param_store()
    torch.manual_seed(0)
    adam = pyro.optim.Adam({"lr": 0.01})
    svi = pyro.infer.SVI(autoencoder.model, autoencoder.guide, adam, loss=loss(autoencoder))
    losses = [torch.tensor(svi.step(x)) for _ in range(3)]
    return [*losses, *(p.detach() for p in autoencoder.parameters())]


def fused_loss(autoencoder: Autoencoder) -> Any:
    def negative_elbo(model: Any, guide: Any, x: torch.Tensor) -> torch.Tensor:
        encoder = pyro.module("encoder", autoencoder.encoder)
        decoder = pyro.module("decoder", autoencoder.decoder)
        mu, logvar = encoder(x).chunk(2, dim=-1)
        z = pytorch_examples.reparameterize(mu, logvar)
        return vk.elbo_loss(decoder(z), x, mu, logvar, reduction="sum")

    return negative_elbo


def test_steps_with_a_loss_of_its_own() -> None:
    torch.manual_seed(1)
    autoencoder, x = Autoencoder(), torch.rand(7, 12)
    want = trained(autoencoder, x, lambda _: pyro.infer.TraceMeanField_ELBO())
    got = trained(autoencoder, x, fused_loss)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)


def gradient_of_score(elbo: type) -> torch.Tensor:
    """Of a guide without reparameterization, which differentiates log-probabilities."""
    data = torch.tensor([-0.5, 2.0])

    def model() -> None:
        with pyro.plate("particles", 50, dim=-2), pyro.plate("data", 2, dim=-1):
            component = pyro.sample("component", dist.Bernoulli(0.5))
            pyro.sample("x", dist.Normal(2 * component - 1, 1.0), obs=data)

    def guide() -> None:
        share = pyro.param("share", torch.tensor([0.3, 0.6]))
        with pyro.plate("particles", 50, dim=-2), pyro.plate("data", 2, dim=-1):
            pyro.sample("component", dist.Bernoulli(share))

    pyro.clear_param_store()
    torch.manual_seed(0)
    elbo().loss_and_grads(model, guide)
    return pyro.param("share").grad.clone()


@pytest.mark.parametrize("name", ["Trace_ELBO", "TraceGraph_ELBO"])
def test_gradients_of_scores(name: str, kernels_called: list[str]) -> None:
    elbo = getattr(pyro.infer, name)
    want = gradient_of_score(elbo)
    with distributions():
        got = gradient_of_score(elbo)
    assert kernels_called
    torch.testing.assert_close(got, want)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of torch's own Bernoulli
@pytest.mark.parametrize("name", ["JitTrace_ELBO", "JitTraceMeanField_ELBO"])
def test_elbo_that_is_traced(name: str, kernels_called: list[str]) -> None:
    """With other data than those that it was traced with; one site needs no gradient."""
    torch.manual_seed(1)
    autoencoder = Autoencoder()
    parameters = list(autoencoder.parameters())
    batches = [torch.rand(7, 12) for _ in range(3)]

    def model(x: torch.Tensor) -> None:
        autoencoder.model(x)
        pyro.sample("sums", dist.Normal(0.0, 1.0).expand([7]).to_event(1), obs=x.sum(-1) - 6.0)

    def found() -> list[torch.Tensor]:
        pyro.clear_param_store()
        elbo = getattr(pyro.infer, name)()
        tensors = []
        for x in batches:
            torch.manual_seed(0)
            autoencoder.zero_grad()
            loss = elbo.loss_and_grads(model, autoencoder.guide, x)
            tensors += [torch.tensor(loss), *(p.grad for p in parameters)]
        return tensors

    want = found()
    with distributions():
        got = found()
    assert kernels_called
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)
