"""The loss of latent-diffusion: ``LPIPSWithDiscriminator`` of ``ldm/modules/losses``.

Its weight of the adversarial term takes two gradients of the decoder's last layer before the
backward. Repeated here with Gaussian reconstructions; its own are Laplacian, for which there is no
kernel.
"""

from __future__ import annotations

import math

import torch
from agreement import normal
from torch import Tensor, nn

import vaekern as vk
from vaekern.compat import DiagonalGaussianDistribution

KL_WEIGHT = 1e-2


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


def plain_terms(networks: Networks, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Reconstruction, its negative log-likelihood, and the KL divergence."""
    mean, logvar = networks.encoder(x).chunk(2, dim=1)
    logvar = logvar.clamp(-30.0, 20.0)
    reconstruction = networks.decoder(mean + torch.exp(0.5 * logvar) * eps)
    squares = (x - reconstruction) ** 2 / torch.exp(networks.logvar)
    nll = 0.5 * (squares + networks.logvar + math.log(2.0 * math.pi)).sum()
    kl = 0.5 * (mean**2 + torch.exp(logvar) - 1.0 - logvar).sum()
    return reconstruction, nll, kl


def fused_terms(networks: Networks, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    posterior = DiagonalGaussianDistribution(networks.encoder(x))
    z = vk.reparameterize(posterior.mean, posterior.logvar, eps)
    reconstruction = networks.decoder(z)
    nll = -vk.gaussian_log_likelihood(reconstruction, x, networks.logvar).sum()
    return reconstruction, nll, posterior.kl().sum()


def test_generator_step() -> None:
    torch.manual_seed(0)
    networks = Networks()
    x, eps = normal(2, 3, 8, 8).float(), normal(2, 4, 4, 4, seed=1).float()
    found = []
    for terms in (plain_terms, fused_terms):
        networks.zero_grad()
        reconstruction, nll, kl = terms(networks, x, eps)
        adversarial = -networks.discriminator(reconstruction).mean()
        weight = adaptive_weight(nll / 2, adversarial, networks.decoder[-1].weight)
        loss = nll / 2 + KL_WEIGHT * kl / 2 + weight * adversarial
        loss.backward()
        found.append([loss, weight, *(p.grad for p in networks.parameters())])
    for want, got in zip(*found, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
