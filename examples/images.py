"""Bits per dimension of real images: a mixture of logistics against a Gaussian decoder.

    python examples/images.py            # minutes on a CPU
    python examples/images.py --quick    # seconds

The data are 32x32 crops of the two photographs that come with scikit-learn; the lower part of each
is held out. The same small VAE is trained with two likelihoods:

- mixture: of discretized logistics, a probability of each pixel's level (PixelCNN++, Salimans et
  al. 2017), where green follows red and blue follows both;
- gaussian: with one learned variance (a sigma-VAE, Rybkin et al. 2021), a density of pixels to
  which uniform noise of a level's width was added, which bounds the log-probability of the level
  (Theis et al. 2016).

Printed is the negative ELBO of held-out crops, in bits per dimension: 8 is what a uniform
distribution over the 256 levels has.
"""

from __future__ import annotations

import argparse
import math

import torch
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

import vaekern as vk

SIZE, LATENT, COMPONENTS, BATCH = 32, 32, 5, 16
DIMENSIONS = 3 * SIZE * SIZE
#: Of the photographs' rows, those from here on are held out.
HELD_OUT_FROM = 320


def photographs() -> Tensor:
    """uint8 [2, 3, rows, columns]"""
    images = load_sample_images().images
    return torch.stack([torch.as_tensor(image.copy()) for image in images]).permute(0, 3, 1, 2)


def crops(images: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """uint8 [n, 3, SIZE, SIZE] at random places."""
    which, row, column = (
        torch.randint(end, (n,), generator=generator).tolist()
        for end in (len(images), images.shape[2] - SIZE + 1, images.shape[3] - SIZE + 1)
    )
    return torch.stack(
        [
            images[k, :, r : r + SIZE, c : c + SIZE]
            for k, r, c in zip(which, row, column, strict=True)
        ]
    )


class Encoder(nn.Module):
    """uint8 images -> (mu, logvar), both [B, LATENT]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 4, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(32, 64, 4, stride=2, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(64 * (SIZE // 4) ** 2, 2 * LATENT),
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.layers(x / 127.5 - 1.0).chunk(2, dim=-1)
        return mu, logvar


def decoder(channels: int) -> nn.Sequential:
    """z -> [B, channels, SIZE, SIZE]"""
    return nn.Sequential(
        nn.Linear(LATENT, 64 * (SIZE // 4) ** 2), nn.ReLU(),
        nn.Unflatten(1, (64, SIZE // 4, SIZE // 4)),
        nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(32, channels, 4, stride=2, padding=1),
    )  # fmt: skip


class DequantizedGaussian(vk.GaussianLikelihood):
    """The density of levels with uniform noise of a level's width, in units of levels: a bound on
    the log-probability of the levels. The mean is in units of [-1, 1], as the mixture's are."""

    def log_prob(
        self, decoder_output: Tensor | tuple[Tensor, Tensor], x: Tensor, *, batch_dims: int = 1
    ) -> Tensor:
        noisy = (x + torch.rand(x.shape)) / 128.0 - 1.0
        density = super().log_prob(decoder_output, noisy, batch_dims=batch_dims)
        return density - x[0].numel() * math.log(128.0)


def models() -> dict[str, vk.VAE]:
    """Both start with deviations of about a third."""
    of_mixture = decoder(10 * COMPONENTS)
    with torch.no_grad():
        of_mixture[-1].bias.unflatten(0, (10, COMPONENTS))[2::3] -= 1.7  # log-scales
    mixture = vk.LogisticMixtureLikelihood()
    gaussian = DequantizedGaussian(-2.0, learned=True)
    return {
        "mixture": vk.VAE(Encoder(), of_mixture, mixture),
        "gaussian": vk.VAE(Encoder(), decoder(3), gaussian),
    }


def train(model: vk.VAE, images: Tensor, steps: int, generator: torch.Generator) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(steps):
        loss = model(crops(images, BATCH, generator)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def bits_per_dimension(model: vk.VAE, x: Tensor) -> float:
    return -model.elbo(x, num_samples=4).mean().item() / (DIMENSIONS * math.log(2.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short training")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)  # the networks are too small for more
    images = photographs()
    held_out = crops(images[:, :, HELD_OUT_FROM:], 128, torch.Generator().manual_seed(1))
    torch.manual_seed(options.seed)
    print(f"{'likelihood':<10} {'bits per dimension':>18}")
    for name, model in models().items():
        generator = torch.Generator().manual_seed(options.seed)
        train(model, images[:, :, :HELD_OUT_FROM], 80 if options.quick else 5000, generator)
        print(f"{name:<10} {bits_per_dimension(model, held_out):>18.3f}")


if __name__ == "__main__":
    main()
