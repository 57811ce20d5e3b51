"""Trains a conditional VAE on handwritten digits, and draws digits by class.

    python examples/conditional.py                  # 4,500 MNIST digits, a few minutes on a CPU
    python examples/conditional.py --quick          # 3 epochs, seconds
    python examples/conditional.py --out digits.png # a row of samples for each class

The model is p(z | c) p(x | z, c), with the posterior q(z | x, c) (Sohn et al. 2015). ``vk.VAE``
hands the class on to encoder, decoder and prior, each of which makes of it what it wants: here one
number for each class, 1 for the one that is meant.
"""

from __future__ import annotations

import argparse

import digits
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

import vaekern as vk

CLASSES = 10


class Told(nn.Sequential):
    """A network of what it is given, side by side, and the class."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__(nn.Linear(inputs + CLASSES, hidden), nn.ReLU(), nn.Linear(hidden, outputs))

    def forward(self, *inputs: Tensor) -> Tensor:
        *before, labels = inputs
        if before and before[0].dtype is torch.uint8:
            before = [before[0].float() / 255]
        return super().forward(torch.cat([*before, one_hot(labels, CLASSES).float()], dim=-1))


class OfClass(nn.Module):
    """(mu, logvar) of z, for each class."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.parameters_of = nn.Embedding(CLASSES, 2 * latent)
        nn.init.zeros_(self.parameters_of.weight)

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.parameters_of(labels).chunk(2, dim=-1)
        return mu, logvar


def make_model(pixels: int, hidden: int, latent: int) -> vk.VAE:
    return vk.VAE(
        Told(pixels, hidden, 2 * latent),
        Told(latent, hidden, pixels),
        prior=vk.priors.ConditionalGaussian(OfClass(latent)),
        split=True,
    )


def train_epoch(model: vk.VAE, optimizer: torch.optim.Optimizer, data: digits.Digits) -> None:
    for rows in torch.randperm(len(data.train_images)).split(100):
        loss = model(data.train_images[rows], data.train_labels[rows]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def recognised(model: vk.VAE, data: digits.Digits, of_each: int) -> float:
    """The share of samples that are nearest to the mean digit of their class."""
    labels = torch.arange(CLASSES).repeat_interleave(of_each)
    samples = model.sample(len(labels), condition=labels)
    images = data.train_images.float() / 255
    means = torch.stack([images[data.train_labels == k].mean(0) for k in range(CLASSES)])
    return (torch.cdist(samples, means).argmin(1) == labels).float().mean().item()


def save_samples(model: vk.VAE, side: int, path: str) -> None:
    import matplotlib.pyplot as plt

    labels = torch.arange(CLASSES).repeat_interleave(CLASSES)
    rows = model.sample(len(labels), condition=labels).reshape(CLASSES, CLASSES, side, side)
    picture = rows.permute(0, 2, 1, 3).reshape(CLASSES * side, CLASSES * side)
    plt.imsave(path, picture.numpy(), cmap="gray_r")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--dataset", choices=digits.SOURCES, default="mnist", help="28x28 MNIST, or 8x8 digits")
    add("--latent", type=int, default=10, help="dimensions of z")
    add("--hidden", type=int, default=300, help="units of the hidden layers")
    add("--epochs", type=int, default=50)
    add("--seed", type=int, default=0)
    add("--out", help="where a picture of samples goes")
    add("--quick", action="store_true", help="3 epochs")
    options = parser.parse_args()
    epochs = 3 if options.quick else options.epochs

    torch.set_num_threads(1)  # the networks are too small for more
    torch.manual_seed(options.seed)
    data = digits.load(options.dataset)
    model = make_model(data.pixels, options.hidden, options.latent)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    print(f"{'epoch':>5} {'test ELBO':>10} {'recognised':>11}   (nats; share of samples)")
    for epoch in range(1, epochs + 1):
        train_epoch(model, optimizer, data)
        if epoch <= 3 or epoch % 10 == 0 or epoch == epochs:
            with torch.no_grad():
                elbo = model.elbo(data.test_images, 10, data.test_labels).mean().item()
            print(f"{epoch:>5} {elbo:>10.2f} {recognised(model, data, 20):>11.2f}")
    if options.out:
        save_samples(model, data.side, options.out)


if __name__ == "__main__":
    main()
