"""pytorch/examples: ``vae/main.py``. It is a script, so its two functions are repeated here."""

from __future__ import annotations

import backends
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from agreement import DTYPES, check_agreement, normal, uniform
from torch import Tensor

from vaekern.compat.pytorch_examples import loss_function, reparameterize


def original_loss(recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    bce = F.binary_cross_entropy(recon_x, x.view(-1, 784), reduction="sum")
    return bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


def original_sample(mu: Tensor, logvar: Tensor) -> Tensor:
    std = torch.exp(0.5 * logvar)
    return mu + torch.randn_like(std) * std


def binary_images() -> Tensor:
    return (uniform(5, 1, 28, 28, seed=9) < 0.3).double()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("logvar_shape", [(5, 20), (20,)], ids=["full", "shared"])
def test_loss(dtype: torch.dtype, logvar_shape: tuple[int, ...]) -> None:
    x = backends.put(binary_images())
    probabilities = torch.sigmoid(normal(5, 784))

    def ours(recon_x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        return loss_function(recon_x, x.to(recon_x.dtype), mu, logvar)

    def original(recon_x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        return original_loss(recon_x, x.to(recon_x.dtype), mu, logvar)

    inputs = [probabilities, normal(5, 20, seed=1), normal(*logvar_shape, seed=2)]
    check_agreement(ours, original, inputs, dtype)


def test_certain_and_wrong_costs_100_nats() -> None:
    """The clamp of the logarithm, and that of the gradient."""
    recon_x, x, zeros = torch.ones(1, 784), torch.zeros(1, 784), torch.zeros(1, 2)
    recon_x[0, 3:] = 0.0
    gradients = []
    for function in (loss_function, original_loss):
        probabilities = recon_x.clone().requires_grad_()
        loss = function(probabilities, x, zeros, zeros)
        assert loss.item() == 300.0
        gradients.append(torch.autograd.grad(loss, probabilities)[0])
    torch.testing.assert_close(*gradients)
    assert gradients[0][0, :4].tolist() == pytest.approx([1e12, 1e12, 1e12, 0.0])


@pytest.mark.parametrize("wrong", [1.5, -0.1, float("nan")])
def test_no_probabilities_are_refused(wrong: float) -> None:
    """Where torch refuses them; NaN otherwise."""
    recon_x, x, zeros = torch.full((1, 3), 0.5), torch.zeros(1, 3), torch.zeros(1, 2)
    recon_x[0, 1] = wrong
    for loss in (loss_function, F.binary_cross_entropy):
        arguments = (recon_x, x, zeros, zeros)[: 4 if loss is loss_function else 2]
        with pytest.raises(RuntimeError, match="between 0 and 1"):
            loss(*arguments)
    loss = torch.func.vmap(loss_function)(*[t[None] for t in (recon_x, x, zeros, zeros)])
    assert loss.isnan().all()


def test_shapes_must_agree() -> None:
    x, zeros = torch.zeros(1, 3), torch.zeros(1, 2)
    with pytest.raises(ValueError, match=r"\(1, 3\)"):
        loss_function(torch.rand(2, 3), x, zeros, zeros)


def test_autocast_changes_the_same_dtypes() -> None:
    mu, logvar = (backends.put(normal(5, 20, seed=k).bfloat16()) for k in (1, 2))
    with torch.autocast(backends.device.type, dtype=torch.bfloat16):
        assert reparameterize(mu, logvar).dtype is original_sample(mu, logvar).dtype


def test_loss_of_meta_tensors() -> None:
    image, latent = torch.empty(5, 784, device="meta"), torch.empty(5, 20, device="meta")
    loss = loss_function(image, image, latent, latent)
    assert (loss.shape, loss.device.type) == ((), "meta")


def test_loss_under_autocast() -> None:
    """Of the CPU: that of CUDA refuses the cross-entropy of probabilities."""
    mu, logvar = (normal(5, 20, seed=k).bfloat16() for k in (1, 2))
    recon_x, x = torch.sigmoid(normal(5, 784)).bfloat16(), binary_images().bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = loss_function(recon_x, x, mu, logvar)
        want = original_loss(recon_x, x, mu, logvar)
    torch.testing.assert_close(loss, want)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logvar_shape", [(5, 20), (20,)], ids=["full", "shared"])
def test_same_seed_same_sample(dtype: torch.dtype, logvar_shape: tuple[int, ...]) -> None:
    mu = backends.put(normal(5, 20).to(dtype)).requires_grad_()
    logvar = backends.put(normal(*logvar_shape, seed=1).to(dtype)).requires_grad_()
    found = []
    for function in (reparameterize, original_sample):
        torch.manual_seed(3)
        z = function(mu, logvar)
        found.append([z, *torch.autograd.grad(z.square().sum(), [mu, logvar])])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_fused_noise() -> None:
    """Other numbers, of the same distribution; shared log-variances do not share it."""
    mu, logvar = torch.zeros(4, 100_000), torch.zeros(100_000)
    torch.manual_seed(3)
    z = reparameterize(mu, logvar, noise="fused")
    torch.manual_seed(3)
    assert torch.equal(z, reparameterize(mu, logvar, noise="fused"))
    assert not torch.equal(z[0], z[1])
    assert z.mean().abs() < 0.01
    assert (z.std() - 1.0).abs() < 0.01


def test_unknown_noise() -> None:
    zeros = torch.zeros(1, 2)
    with pytest.raises(ValueError, match=r"noise: expected one of .*'fused'"):
        reparameterize(zeros, zeros, noise="cuda")  # type: ignore[arg-type]


def test_compiled() -> None:
    torch._dynamo.reset()
    inputs = [torch.sigmoid(normal(5, 784)), binary_images(), normal(5, 20), normal(5, 20, seed=1)]
    inputs = [tensor.float().requires_grad_() for tensor in inputs]
    compiled = torch.compile(loss_function, backend="aot_eager", fullgraph=True)
    loss, want = compiled(*inputs), original_loss(*inputs)
    torch.testing.assert_close(loss, want)
    differentiated = [inputs[k] for k in (0, 2, 3)]
    for a, b in zip(
        torch.autograd.grad(loss, differentiated),
        torch.autograd.grad(want, differentiated),
        strict=True,
    ):
        torch.testing.assert_close(a, b)
