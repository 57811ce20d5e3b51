"""Trains a hierarchical VAE with two layers of latents on handwritten digits, with free bits.

    python examples/hierarchical.py                # 4,500 MNIST digits, a few minutes on a CPU
    python examples/hierarchical.py --quick        # 3 epochs, seconds
    python examples/hierarchical.py --free-bits 0  # the top layer may stay unused

The model is p(z2) p(z1 | z2) p(x | z1), the posterior q(z2 | x) q(z1 | x, z2), and so

    ELBO = E_q[log p(x | z1) - KL(q(z1 | x, z2) || p(z1 | z2))] - KL(q(z2 | x) || N(0, I))

of which each divergence is between two Gaussians of independent elements, in closed form. In
training, free bits (Kingma et al. 2016) put a floor under the divergence of each latent dimension,
so that the top layer is not given up before the bottom one has something to say. The ELBO printed
is without them.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import digits
import torch
from torch import Tensor, nn

import vaekern as vk
from vaekern.posteriors import DiagonalGaussian
from vaekern.priors import ConditionalGaussian

LOGVAR_BOUNDS = (-8.0, 4.0)


class Gaussians(nn.Sequential):
    """A network from its concatenated inputs [B, ...] to (mu, logvar), both [B, latent]."""

    def __init__(self, inputs: int, hidden: int, latent: int) -> None:
        super().__init__(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = super().forward(torch.cat(inputs, dim=-1)).chunk(2, dim=-1)
        return mu, logvar


class Latents(NamedTuple):
    """A posterior, the prior given the layer above (None for N(0, I)), and a sample."""

    q: DiagonalGaussian
    p: DiagonalGaussian | None
    z: Tensor

    def kl(self, free_bits: float) -> Tensor:
        """KL(q || p) [B], in nats."""
        if free_bits == 0.0:
            return self.q.kl(self.p)
        prior = () if self.p is None else (self.p.mu, self.p.logvar)
        return vk.objectives.free_bits_kl(
            self.q.mu, self.q.logvar, *prior, free_bits=free_bits, logvar_clamp=LOGVAR_BOUNDS
        )


class HierarchicalVAE(nn.Module):
    def __init__(self, pixels: int, hidden: int, latent: tuple[int, int]) -> None:
        super().__init__()
        bottom, top = latent
        self.features = nn.Sequential(nn.Linear(pixels, hidden), nn.ReLU())
        self.posterior_top = Gaussians(hidden, hidden, top)
        self.posterior_bottom = Gaussians(hidden + top, hidden, bottom)
        self.prior_bottom = ConditionalGaussian(Gaussians(top, hidden, bottom))
        self.decoder = nn.Sequential(
            nn.Linear(bottom, hidden), nn.ReLU(), nn.Linear(hidden, pixels)
        )

    def infer(self, x: Tensor) -> list[Latents]:
        """From the top layer to the bottom one."""
        h = self.features(x.float() / 255)
        top = DiagonalGaussian(*self.posterior_top(h), logvar_clamp=LOGVAR_BOUNDS)
        z2 = top.rsample()
        bottom = DiagonalGaussian(*self.posterior_bottom(h, z2), logvar_clamp=LOGVAR_BOUNDS)
        return [
            Latents(top, None, z2),
            Latents(bottom, self.prior_bottom(z2), bottom.rsample()),
        ]

    def forward(self, x: Tensor, free_bits: float = 0.0) -> tuple[Tensor, list[Tensor]]:
        """log p(x | z1) [B], and the divergences [B] of both layers, in nats."""
        layers = self.infer(x)
        log_likelihood = vk.bernoulli_log_likelihood(self.decoder(layers[-1].z), x)
        return log_likelihood, [layer.kl(free_bits) for layer in layers]


def train_epoch(
    model: HierarchicalVAE, optimizer: torch.optim.Optimizer, images: Tensor, free_bits: float
) -> None:
    for rows in torch.randperm(len(images)).split(100):
        log_likelihood, divergences = model(images[rows], free_bits)
        loss = (sum(divergences) - log_likelihood).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def evaluate(model: HierarchicalVAE, images: Tensor, num_samples: int) -> list[float]:
    """The ELBO, and the divergences of the top and the bottom layer: averages in nats."""
    passes = [model(images) for _ in range(num_samples)]
    log_likelihood = torch.stack([likelihood for likelihood, _ in passes]).mean()
    kl = [torch.stack(layer).mean() for layer in zip(*(kl for _, kl in passes), strict=True)]
    return [t.item() for t in (log_likelihood - sum(kl), *kl)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--dataset", choices=digits.SOURCES, default="mnist", help="28x28 MNIST, or 8x8 digits")
    add("--latent", type=int, nargs=2, default=(20, 8), help="dimensions of z1 and z2")
    add("--hidden", type=int, default=300, help="units of the hidden layers")
    add("--free-bits", type=float, default=0.05, help="nats per latent dimension")
    add("--epochs", type=int, default=100)
    add("--seed", type=int, default=0)
    add("--quick", action="store_true", help="3 epochs")
    options = parser.parse_args()
    epochs = 3 if options.quick else options.epochs

    torch.set_num_threads(1)  # the networks are too small for more
    torch.manual_seed(options.seed)
    data = digits.load(options.dataset)
    model = HierarchicalVAE(data.pixels, options.hidden, tuple(options.latent))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    print(f"{'epoch':>5} {'test ELBO':>10} {'KL top':>8} {'KL bottom':>10}   (nats)")
    for epoch in range(1, epochs + 1):
        train_epoch(model, optimizer, data.train_images, options.free_bits)
        if epoch <= 3 or epoch % 10 == 0 or epoch == epochs:
            samples = 10 if epoch == epochs else 1
            elbo, top, bottom = evaluate(model, data.test_images, samples)
            print(f"{epoch:>5} {elbo:>10.2f} {top:>8.2f} {bottom:>10.2f}")


if __name__ == "__main__":
    main()
