"""Importance-weighted autoencoders on MNIST, and the same in plain PyTorch.

    python examples/iwae.py            # K = 1, 5, 50: a few minutes on a CPU
    python examples/iwae.py --quick    # K = 1, 5, a shorter training: half a minute

One architecture is trained on the importance-weighted bound with K samples (Burda et al. 2016), by
`vaekern.objectives` and by the formulas in plain PyTorch: from the same weights, on the same
batches of the same binary images. Printed are the negative log-likelihood of test images, -log p(x)
in nats estimated with many samples, and what the training took. More samples give a better model,
the two implementations an equally good one: they draw other noise.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import digits
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor, nn

import vaekern as vk

HIDDEN, LATENT, BATCH = 200, 50, 100
Bound = Callable[[vk.VAE, Tensor, int], Tensor]


class Encoder(nn.Sequential):
    """Binary images [B, pixels] -> (mu, logvar), both [B, LATENT]."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = super().forward(x.float()).chunk(2, dim=-1)
        return mu, logvar


def build_model(pixels: int, seed: int) -> vk.VAE:
    torch.manual_seed(seed)
    encoder = Encoder(nn.Linear(pixels, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 2 * LATENT))
    decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, pixels))
    return vk.VAE(encoder, decoder)


# --- the bound, twice -----------------------------------------------------------------------------


def fused_bound(model: vk.VAE, x: Tensor, num_samples: int) -> Tensor:
    return vk.objectives.importance_weighted(model, x, num_samples)


def plain_bound(model: vk.VAE, x: Tensor, num_samples: int) -> Tensor:
    """As it is usually written; of the model, only the networks are used."""
    mu, logvar = model.encoder(x)
    eps = torch.randn(num_samples, *mu.shape)
    z = mu + torch.exp(0.5 * logvar) * eps
    log_q = -0.5 * (eps**2 + logvar + math.log(2 * math.pi)).sum(-1)
    log_prior = -0.5 * (z**2 + math.log(2 * math.pi)).sum(-1)
    logits = model.decoder(z)
    target = x.float().expand_as(logits)
    log_p = -F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)
    return torch.logsumexp(log_p + log_prior - log_q, dim=0) - math.log(num_samples)


# --- training and evaluation ----------------------------------------------------------------------


def train(model: vk.VAE, bound: Bound, images: Tensor, num_samples: int, epochs: int) -> float:
    """Returns the seconds it took."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    torch.manual_seed(0)  # the same batches for each
    batches = [torch.randperm(len(images)).split(BATCH) for _ in range(epochs)]
    start = time.perf_counter()
    for rows in (rows for epoch in batches for rows in epoch):
        loss = -bound(model, images[rows], num_samples).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short training, and no K = 50")
    parser.add_argument("--samples", type=int, nargs="+", help="K")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    samples = options.samples or ([1, 5] if options.quick else [1, 5, 50])
    epochs = options.epochs or (8 if options.quick else 40)
    evaluated = 100 if options.quick else 1000

    data = digits.load("mnist")
    train_images, test_images = data.train_images > 127, data.test_images > 127
    print(f"{'K':>4}  {'trained by':<10} {'-log p(x)':>9} {'seconds':>8}")
    for num_samples in samples:
        for name, bound in (("vaekern", fused_bound), ("plain", plain_bound)):
            model = build_model(train_images.shape[1], options.seed)
            seconds = train(model, bound, train_images, num_samples, epochs)
            log_px = model.log_marginal_likelihood(test_images, evaluated).mean().item()
            print(f"{num_samples:>4}  {name:<10} {-log_px:>9.2f} {seconds:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
