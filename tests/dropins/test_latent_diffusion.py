"""The loss of latent-diffusion: ``LPIPSWithDiscriminator`` of ``ldm/modules/losses``.

No package has it, so its formulas are repeated here, from ``contperceptual.py`` of
CompVis/latent-diffusion (July 2022; CompVis/stable-diffusion has the same). Its weight of the
adversarial term takes two gradients of the decoder's last layer before the backward.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from agreement import DTYPES, check_agreement, normal, uniform
from torch import Tensor, nn

import vaekern as vk
from vaekern.compat import DiagonalGaussianDistribution
from vaekern.compat.latent_diffusion import ReconstructionLosses, reconstruction_losses

KL_WEIGHT = 1e-2
PERCEPTUAL_WEIGHT = 0.7


def original_losses(
    x: Tensor,
    reconstruction: Tensor,
    logvar: Tensor,
    *,
    p_loss: Tensor | None = None,
    perceptual_weight: float = 1.0,
    weights: Tensor | None = None,
) -> ReconstructionLosses:
    rec_loss = torch.abs(x - reconstruction)
    if p_loss is not None:
        rec_loss = rec_loss + perceptual_weight * p_loss
    nll_loss = rec_loss / torch.exp(logvar) + logvar
    weighted = nll_loss if weights is None else weights * nll_loss
    sums = [torch.sum(loss) / loss.shape[0] for loss in (nll_loss, weighted)]
    return ReconstructionLosses(*sums, rec_loss.detach().mean())


# --- the reconstruction term --------------------------------------------------------------------

WEIGHTS = {"datapoint": (3, 1, 1, 1), "pixel": (5, 4), "element": (3, 2, 5, 4), "one": ()}


def differentiable(losses: Callable[..., ReconstructionLosses], *tensors: Tensor) -> tuple:
    x, reconstruction, logvar, p_loss, weights = tensors
    options = {"p_loss": p_loss, "perceptual_weight": PERCEPTUAL_WEIGHT, "weights": weights}
    return tuple(losses(x, reconstruction, logvar, **options)[:2])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_perceptual_and_weighted(weights: str, dtype: torch.dtype) -> None:
    tensors = [uniform(3, 2, 5, 4), uniform(3, 2, 5, 4, seed=1), torch.tensor(0.3).double()]
    tensors += [uniform(3, 1, 1, 1, seed=2), uniform(*WEIGHTS[weights], seed=3)]
    ours, original = (
        functools.partial(differentiable, losses)
        for losses in (reconstruction_losses, original_losses)
    )
    check_agreement(ours, original, tensors, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_alone(dtype: torch.dtype) -> None:
    """Near zero, where the constant of the density would leave few digits."""
    x = uniform(3, 2, 5, 4)
    tensors = [x, x + 0.01 * normal(3, 2, 5, 4), torch.tensor(-0.01).double()]
    check_agreement(
        lambda *tensors: reconstruction_losses(*tensors).nll_loss,
        lambda *tensors: original_losses(*tensors).nll_loss,
        tensors,
        dtype,
    )


def test_numbers_and_logged_mean() -> None:
    images = torch.arange(24, dtype=torch.uint8).reshape(2, 3, 2, 2)
    of = (images, uniform(2, 3, 2, 2).float())
    got = reconstruction_losses(*of, 0.3, p_loss=torch.tensor(0.5), weights=2.0)
    want = original_losses(*of, torch.tensor(0.3), p_loss=torch.tensor(0.5), weights=2.0)
    torch.testing.assert_close(tuple(got), tuple(want))
    assert not got.rec_loss.requires_grad


def test_errors() -> None:
    x = torch.zeros(2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"inputs: expected the shape of reconstructions"):
        reconstruction_losses(x[:1], x, 0.0)
    with pytest.raises(ValueError, match=r"logvar: expected a number or"):
        reconstruction_losses(x, x, torch.zeros(2))
    for name in ("p_loss", "weights"):
        for shape in ((2,), (3, 1, 1, 1), (1, 2, 3, 4, 4)):
            with pytest.raises(ValueError, match=rf"{name}: expected a shape that broadcasts"):
                reconstruction_losses(x, x, 0.0, **{name: torch.zeros(shape)})


# --- a generator's step -------------------------------------------------------------------------


class Networks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, 8, 3, 2, 1)
        self.decoder = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(4, 3, 3, 1, 1))
        self.discriminator = nn.Conv2d(3, 1, 4, 2)
        self.logvar = nn.Parameter(torch.tensor(0.3))


def adaptive_weight(nll: Tensor, adversarial: Tensor, last_layer: Tensor) -> Tensor:
    (of_nll,) = torch.autograd.grad(nll, last_layer, retain_graph=True)
    (of_adversarial,) = torch.autograd.grad(adversarial, last_layer, retain_graph=True)
    return (of_nll.norm() / (of_adversarial.norm() + 1e-4)).clamp(0.0, 1e4).detach()


def plain_terms(networks: Networks, x: Tensor, eps: Tensor) -> tuple:
    """Reconstruction, its negative log-likelihood, and the KL divergence."""
    mean, logvar = networks.encoder(x).chunk(2, dim=1)
    logvar = logvar.clamp(-30.0, 20.0)
    reconstruction = networks.decoder(mean + torch.exp(0.5 * logvar) * eps)
    losses = original_losses(x, reconstruction, networks.logvar)
    kl = 0.5 * (mean**2 + torch.exp(logvar) - 1.0 - logvar).sum()
    return reconstruction, losses.nll_loss, kl


def fused_terms(networks: Networks, x: Tensor, eps: Tensor) -> tuple:
    posterior = DiagonalGaussianDistribution(networks.encoder(x))
    z = vk.reparameterize(posterior.mean, posterior.logvar, eps)
    reconstruction = networks.decoder(z)
    losses = reconstruction_losses(x, reconstruction, networks.logvar)
    return reconstruction, losses.nll_loss, posterior.kl().sum()


def test_generator_step() -> None:
    torch.manual_seed(0)
    networks = Networks()
    x, eps = normal(2, 3, 8, 8).float(), normal(2, 4, 4, 4, seed=1).float()
    found = []
    for terms in (plain_terms, fused_terms):
        networks.zero_grad()
        reconstruction, nll, kl = terms(networks, x, eps)
        adversarial = -networks.discriminator(reconstruction).mean()
        weight = adaptive_weight(nll, adversarial, networks.decoder[-1].weight)
        loss = nll + KL_WEIGHT * kl / 2 + weight * adversarial
        loss.backward()
        found.append([loss, weight, *(p.grad for p in networks.parameters())])
    for want, got in zip(*found, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
