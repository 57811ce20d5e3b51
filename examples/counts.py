"""Poisson or negative binomial? A VAE on counts, trained with either likelihood.

    python examples/counts.py            # half a minute on a CPU
    python examples/counts.py --quick    # seconds

The data are scikit-learn's 8x8 digits: each number is a count, 0 to 16, of the pixels that were set
in a 4x4 block of a larger bitmap. Printed are the evidence lower bound and an importance-weighted
estimate of log p(x), in nats, on 500 held-out digits. A Poisson's variance is its mean; a negative
binomial learns how much larger it is, one number per pixel. Once a latent variable has explained
most of it, these counts vary little more than a Poisson's: the two end within a nat of each other.
"""

from __future__ import annotations

import argparse

import digits
import torch
from torch import Tensor, nn

import vaekern as vk

HIDDEN, LATENT, BATCH = 128, 8, 128


class Encoder(nn.Module):
    """Counts [B, pixels] -> (mu, logvar), both [B, LATENT]."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(pixels, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.layers(torch.log1p(x)).chunk(2, dim=-1)
        return mu, logvar


def likelihoods(pixels: int) -> dict[str, vk.Likelihood]:
    dispersions = torch.full((pixels,), 3.0)  # to begin with: nearly a Poisson
    return {
        "poisson": vk.PoissonLikelihood(),
        "negative_binomial": vk.NegativeBinomialLikelihood(dispersions, learned=True),
    }


def train(likelihood: vk.Likelihood, counts: Tensor, steps: int) -> vk.VAE:
    pixels = counts.shape[1]
    decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, pixels))
    model = vk.VAE(Encoder(pixels), decoder, likelihood=likelihood)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(steps):
        loss = model(counts[torch.randint(len(counts), (BATCH,))]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short training, few samples")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    steps, samples = (150, 10) if options.quick else (3000, 100)

    torch.set_num_threads(1)  # the networks are too small for more
    data = digits.load("digits")
    # Intensities 0..255 there; 255 is 16 pixels.
    train_counts, test_counts = (
        (images.float() * (16 / 255)).round() for images in (data.train_images, data.test_images)
    )
    print(f"{'likelihood':<18} {'ELBO':>8} {'log p(x)':>9}")
    for name, likelihood in likelihoods(data.pixels).items():
        torch.manual_seed(options.seed)
        model = train(likelihood, train_counts, steps)
        with torch.no_grad():
            elbo = model.elbo(test_counts).mean().item()
            marginal = model.log_marginal_likelihood(test_counts, num_samples=samples).mean().item()
        print(f"{name:<18} {elbo:>8.2f} {marginal:>9.2f}")


if __name__ == "__main__":
    main()
