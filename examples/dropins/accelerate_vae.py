"""A VAE on scikit-learn's 8x8 digits, trained with Hugging Face Accelerate.

pip install accelerate scikit-learn
python examples/dropins/accelerate_vae.py --epochs 20 --mixed-precision bf16
"""

from __future__ import annotations

import argparse

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader

import vaekern as vk


class Encoder(nn.Sequential):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return super().forward(x).chunk(2, dim=-1)  # mu, logvar


def make_model(latent: int = 8) -> vk.VAE:
    encoder = Encoder(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 2 * latent))
    decoder = nn.Sequential(nn.Linear(latent, 128), nn.ReLU(), nn.Linear(128, 64))
    return vk.VAE(encoder, decoder, likelihood="bernoulli")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--mixed-precision", choices=("no", "bf16"), default="no")
    parser.add_argument("--cpu", action="store_true", help="even where there is a GPU")
    arguments = parser.parse_args()

    accelerator = Accelerator(cpu=arguments.cpu, mixed_precision=arguments.mixed_precision)
    set_seed(0, device_specific=True)  # ranks must not share noise
    digits = torch.from_numpy(load_digits().data).float() / 16  # in [0, 1]
    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model, optimizer, batches = accelerator.prepare(
        model, optimizer, DataLoader(digits, batch_size=64, shuffle=True)
    )
    for _ in range(arguments.epochs):
        for x in batches:
            loss = model(x).loss
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
    accelerator.print(f"loss {loss.item():.3f} nats")


if __name__ == "__main__":
    main()
