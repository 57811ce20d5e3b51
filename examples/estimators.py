"""How noisy the encoder's gradient is under each estimator of the importance-weighted bound.

    python examples/estimators.py            # a quarter of a minute on a CPU
    python examples/estimators.py --quick    # seconds

A small model is trained on scikit-learn's 8x8 digits. At its parameters, the gradient of the bound
on one batch is then estimated many times, with each estimator and number of samples K. Printed are
its standard deviation (the root of the variance summed over parameters), relative to that of IWAE
at the same K, and the signal-to-noise ratio: the norm of the mean over that deviation. More samples
tighten the bound, but drown the gradient of IWAE in noise (Rainforth et al. 2018), that of DReG far
less (Tucker et al. 2019). STL has little noise too, but for K > 1 a biased mean. With one sample,
where IWAE is the reparameterized gradient of the ELBO, the score function's is beside it: it does
without the derivative of log p(x, z), and is far noisier (Mohamed et al. 2020).
"""

from __future__ import annotations

import argparse

import digits
import torch
from torch import Tensor, nn

import vaekern as vk

ESTIMATORS = ("iwae", "stl", "dreg")
BATCH = 32
HIDDEN, LATENT = 64, 8


class Encoder(nn.Module):
    """uint8 images [B, pixels] -> (mu, logvar), both [B, LATENT]."""

    def __init__(self, pixels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(pixels, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2 * LATENT)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.layers(x.float() / 255).chunk(2, dim=-1)
        return mu, logvar


def trained_model(images: Tensor, steps: int) -> vk.VAE:
    pixels = images.shape[1]
    decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, pixels))
    model = vk.VAE(Encoder(pixels), decoder)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(steps):
        batch = images[torch.randint(len(images), (128,))]
        loss = -vk.objectives.importance_weighted(model, batch, 4, estimator="dreg").mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def with_score_function(model: vk.VAE, x: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The ELBO of one sample, and what has the score function's gradient: log w times log q."""
    mu, logvar = model.encode(x)
    with torch.no_grad():
        z = vk.reparameterize(mu, logvar, seed=seed)
        log_prior = vk.objectives.standard_normal_log_density(z)
        log_joint = model.likelihood.log_prob(model.decoder(z), x) + log_prior
    log_posterior = vk.gaussian_log_likelihood(mu, z, logvar)
    log_weights = log_joint - log_posterior.detach()
    return log_weights.mean(), (log_weights * log_posterior).mean()


def bound_and_surrogate(
    model: vk.VAE, x: Tensor, num_samples: int, estimator: str, seed: int
) -> tuple[Tensor, Tensor]:
    """The bound, and what has the estimator's gradient."""
    if estimator == "score":
        return with_score_function(model, x, seed)
    bound = vk.objectives.importance_weighted(
        model, x, num_samples, estimator=estimator, seed=seed
    ).mean()
    return bound, bound


def gradients(
    model: vk.VAE, x: Tensor, num_samples: int, estimator: str, repeats: int
) -> tuple[Tensor, float]:
    """The encoder's gradient [repeats, parameters], and the mean bound."""
    parameters = list(model.encoder.parameters())
    found, bounds = [], []
    for repeat in range(repeats):
        bound, surrogate = bound_and_surrogate(model, x, num_samples, estimator, repeat)
        parts = torch.autograd.grad(surrogate, parameters)
        found.append(torch.cat([part.flatten() for part in parts]))
        bounds.append(bound.item())
    return torch.stack(found), sum(bounds) / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short training, few repeats")
    parser.add_argument("--samples", type=int, nargs="+", default=[1, 8, 64], help="K")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    steps, repeats = (200, 40) if options.quick else (2000, 400)

    torch.set_num_threads(1)  # the networks are too small for more
    torch.manual_seed(options.seed)
    data = digits.load("digits")
    model = trained_model(data.train_images, steps)
    x = data.test_images[:BATCH]
    print(f"{'K':>4} {'bound':>8}  {'estimator':<9} {'deviation':>9} {'of IWAE':>8} {'SNR':>7}")
    for num_samples in options.samples:
        deviation_of_iwae = 0.0
        for estimator in (*ESTIMATORS, *(["score"] if num_samples == 1 else [])):
            found, bound = gradients(model, x, num_samples, estimator, repeats)
            deviation = found.var(0).sum().sqrt().item()
            deviation_of_iwae = deviation_of_iwae or deviation
            # The squared norm of the mean, less what noise adds to it.
            square = found.mean(0).square().sum().item() - deviation**2 / repeats
            signal = max(square, 0.0) ** 0.5
            print(
                f"{num_samples:>4} {bound:>8.2f}  {estimator:<9} {deviation:>9.3f} "
                f"{deviation / deviation_of_iwae:>8.2f} {signal / deviation:>7.2f}"
            )


if __name__ == "__main__":
    main()
