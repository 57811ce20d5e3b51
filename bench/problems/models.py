"""Two autoencoders for whole training steps: networks, data and sizes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from operations.operands import Shape
from torch import Tensor, nn


class Networks(nn.Module):
    """uint8 images [B, ...] -> (mu, logvar) and z -> logits, the shape of the images."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.encoder(x.float() / 255).chunk(2, dim=-1)
        return mu, logvar


def _mlp() -> Networks:
    """The layers of examples/train_mnist.py."""
    pixels, hidden, latent = 784, 400, 20
    return Networks(
        nn.Sequential(nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, 2 * latent)),
        nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, pixels)),
    )


def _convolutional() -> Networks:
    """Halves the image's sides three times, and doubles them three times."""
    channels, image, latent = (3, 32, 64, 128), 64, 128
    side = image // 8
    down: list[nn.Module] = []
    up: list[nn.Module] = []
    for narrow, wide in itertools.pairwise(channels):
        down += [nn.Conv2d(narrow, wide, 4, stride=2, padding=1), nn.ReLU()]
        up = [nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1), nn.ReLU(), *up]
    shape = (channels[-1], side, side)
    features = math.prod(shape)
    return Networks(
        nn.Sequential(*down, nn.Flatten(), nn.Linear(features, 2 * latent)),
        nn.Sequential(nn.Linear(latent, features), nn.Unflatten(1, shape), nn.ReLU(), *up[:-1]),
    )


@dataclass(frozen=True)
class Model:
    name: str
    what: str
    make: Callable[[], Networks]
    image: Shape
    batch_size: int
    batch_sizes: tuple[int, ...]  # that are measured

    def images(self, batch_size: int) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        shape = (batch_size, *self.image)
        return torch.randint(256, shape, generator=generator, dtype=torch.uint8)


MODELS = {
    m.name: m
    for m in (
        Model("mlp", "the MLP of examples/train_mnist.py", _mlp, (784,), 100, (16, 64, 128, 512)),
        Model("conv", "a convolutional VAE", _convolutional, (3, 64, 64), 64, (64,)),
    )
}
