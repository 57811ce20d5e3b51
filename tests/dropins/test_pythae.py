"""Losses of pythae's models, from models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from agreement import DTYPES, check_agreement, normal, uniform
from torch import Tensor

pythae = pytest.importorskip("pythae.models", reason="pip install pythae")

from vaekern.compat.pythae import iwae_loss_function, loss_function  # noqa: E402 - after the skip

LOSSES = ("mse", "bce")


def original(kind: str, config: str, reconstruction_loss: str, **options: Any) -> Any:
    """The bound loss of a model, with networks it does not ask."""
    settings = {"input_dim": (1, 4, 6), "latent_dim": 3, **options}
    config_of = getattr(pythae, config)(reconstruction_loss=reconstruction_loss, **settings)
    return getattr(pythae, kind)(config_of).loss_function


def batch(*samples: int) -> list[Tensor]:
    """Reconstructions as probabilities, means, log-variances and samples."""
    recon_x = torch.sigmoid(normal(5, *samples, 24))
    return [recon_x, *(normal(5, *samples, 3, seed=k) for k in (1, 2, 3))]


X = uniform(5, 1, 4, 6, seed=4)


def agrees(ours: Any, theirs: Any, tensors: list[Tensor], dtype: torch.dtype) -> None:
    def with_data(loss: Any) -> Any:
        return lambda recon_x, *others: loss(recon_x, X.to(dtype).to(recon_x.dtype), *others)

    check_agreement(with_data(ours), with_data(theirs), tensors, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reconstruction_loss", LOSSES)
def test_vae(reconstruction_loss: str, dtype: torch.dtype) -> None:
    theirs = original("VAE", "VAEConfig", reconstruction_loss)

    def ours(*args: Tensor) -> Any:
        return loss_function(*args, reconstruction_loss=reconstruction_loss)

    def without_z(loss: Any) -> Any:
        return lambda *args: loss(*args, None)

    agrees(without_z(ours), without_z(theirs), batch()[:3], dtype)


@pytest.mark.parametrize("beta", [0.5, 4.0])
def test_beta_vae(beta: float) -> None:
    theirs = original("BetaVAE", "BetaVAEConfig", "mse", beta=beta)
    agrees(
        lambda *args: loss_function(*args, None, beta=beta),
        lambda *args: theirs(*args, None),
        batch()[:3],
        torch.float32,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reconstruction_loss", LOSSES)
def test_iwae(reconstruction_loss: str, dtype: torch.dtype) -> None:
    theirs = original("IWAE", "IWAEConfig", reconstruction_loss, number_samples=4)
    agrees(
        lambda *args: iwae_loss_function(*args, reconstruction_loss=reconstruction_loss),
        theirs,
        batch(4),
        dtype,
    )


def test_shapes_with_as_many_numbers() -> None:
    """Of a datapoint, whatever a decoder makes of it; of the data, whatever they come as."""
    recon_x, mu, log_var, _ = batch()
    theirs = original("VAE", "VAEConfig", "mse")
    rows = recon_x.reshape(20, 6)
    torch.testing.assert_close(
        loss_function(rows, X, mu, log_var), theirs(rows, X, mu, log_var, None)
    )
    tensors, data = batch(4), X.reshape(20, 6)
    theirs = original("IWAE", "IWAEConfig", "mse", number_samples=4)
    torch.testing.assert_close(
        iwae_loss_function(tensors[0], data, *tensors[1:]), theirs(tensors[0], data, *tensors[1:])
    )


def test_a_perfect_reconstruction_costs_nothing() -> None:
    x = X.float()
    zeros = torch.zeros(5, 3)
    loss, recon_loss, kld = loss_function(x.clone(), x, zeros, zeros)
    assert (loss.item(), recon_loss.item(), kld.item()) == (0.0, 0.0, 0.0)


def test_as_a_method() -> None:
    class Fused(pythae.VAE):
        def loss_function(self, recon_x: Tensor, x: Tensor, mu: Tensor, log_var: Tensor,
                          z: Tensor) -> Any:  # fmt: skip
            kind = self.model_config.reconstruction_loss
            return loss_function(recon_x, x, mu, log_var, z, reconstruction_loss=kind)

    config = pythae.VAEConfig(input_dim=(1, 4, 6), latent_dim=3)
    torch.manual_seed(0)
    theirs, ours = pythae.VAE(config), Fused(config)
    ours.load_state_dict(theirs.state_dict())
    losses = []
    for model in (theirs, ours):
        torch.manual_seed(1)
        losses.append(model({"data": X.float()}).loss)
    torch.testing.assert_close(*losses)


def test_unknown_loss() -> None:
    recon_x, mu, log_var = batch()[:3]
    with pytest.raises(ValueError, match="reconstruction_loss: expected 'mse' or 'bce'"):
        loss_function(recon_x, X, mu, log_var, reconstruction_loss="l1")
