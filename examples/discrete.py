"""Trains a discrete VAE on handwritten digits: latents that are classes.

    python examples/discrete.py                     # 4,500 MNIST digits, a few minutes on a CPU
    python examples/discrete.py --quick             # 3 epochs, seconds
    python examples/discrete.py --relaxed           # Gumbel-softmax samples, not exact ones

z is a few variables of a few classes each, as one-hot vectors, with a learned prior. Without
``--relaxed`` samples are exact and have straight-through derivatives (Bengio et al. 2013), so that
the ELBO is one. With it they are points near the corners of the simplex (Jang et al. 2017; Maddison
et al. 2017) and become the nearer the further training is: the temperature is a tensor that
:class:`vaekern.objectives.KLWarmup` writes to. What is tested is the model with exact samples.
"""

from __future__ import annotations

import argparse
import functools

import digits
import torch
from torch import Tensor, nn

import vaekern as vk

BATCH = 32


class Encoder(nn.Module):
    """From pixels to the logits of all variables [B, variables, classes]."""

    def __init__(self, pixels: int, hidden: int, variables: int, classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(pixels, hidden),
            nn.ReLU(),
            nn.Linear(hidden, variables * classes),
            nn.Unflatten(1, (variables, classes)),
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x.float() / 255)
        return logits


def make_model(pixels: int, hidden: int, variables: int, classes: int, steps: int) -> vk.VAE:
    decoder = nn.Sequential(
        nn.Flatten(-2), nn.Linear(variables * classes, hidden), nn.ReLU(), nn.Linear(hidden, pixels)
    )
    return vk.VAE(
        Encoder(pixels, hidden, variables, classes),
        decoder,
        posterior=vk.posteriors.Categorical,
        prior=vk.priors.LearnedCategorical((variables, classes)),
        # Classes that carry nothing yet would be given up before they carry something.
        beta=vk.objectives.KLWarmup(max(1, steps // 2)),
    )


def train_epoch(
    model: vk.VAE,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    ramps: list[vk.objectives.KLWarmup],
) -> None:
    for rows in torch.randperm(len(images)).split(BATCH):
        loss = model(images[rows]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for ramp in ramps:
            ramp.step()


@torch.no_grad()
def test_figures(model: vk.VAE, images: Tensor) -> tuple[float, float, float]:
    """The ELBO, the KL divergence, and how many classes a variable uses: e to the entropy of how
    often each occurs."""
    family, model.posterior = model.posterior, vk.posteriors.Categorical
    posterior = model.infer(images)
    elbo = model.elbo(images, 10).mean().item()
    model.posterior = family
    assert isinstance(posterior, vk.posteriors.Categorical)
    used = torch.special.entr(posterior.probs.mean(0)).sum(-1).exp().mean().item()
    return elbo, posterior.kl(model.prior).mean().item(), used


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--dataset", choices=digits.SOURCES, default="mnist", help="28x28 MNIST, or 8x8 digits")
    add("--variables", type=int, default=20, help="how many classes z consists of")
    add("--classes", type=int, default=10, help="of how many each is one")
    add("--hidden", type=int, default=300, help="units of the hidden layers")
    add("--epochs", type=int, default=50)
    add("--seed", type=int, default=0)
    add("--relaxed", action="store_true", help="train with Gumbel-softmax samples")
    add("--quick", action="store_true", help="3 epochs")
    options = parser.parse_args()
    epochs = 3 if options.quick else options.epochs

    torch.set_num_threads(1)  # the networks are too small for more
    torch.manual_seed(options.seed)
    data = digits.load(options.dataset)
    steps = epochs * -(-len(data.train_images) // BATCH)
    model = make_model(data.pixels, options.hidden, options.variables, options.classes, steps)
    assert isinstance(model.beta, vk.objectives.KLWarmup)
    temperature = vk.objectives.KLWarmup(steps, start=1.0, stop=0.3)  # of any number it is a ramp
    if options.relaxed:
        relaxed = vk.posteriors.RelaxedCategorical
        model.posterior = functools.partial(relaxed, temperature=temperature.beta)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    print(f"{'epoch':>5} {'test ELBO':>10} {'KL':>7} {'classes':>8}   (nats, nats, used of each)")
    for epoch in range(1, epochs + 1):
        train_epoch(model, optimizer, data.train_images, [model.beta, temperature])
        if epoch <= 3 or epoch % 10 == 0 or epoch == epochs:
            elbo, kl, used = test_figures(model, data.test_images)
            print(f"{epoch:>5} {elbo:>10.2f} {kl:>7.2f} {used:>8.2f}")


if __name__ == "__main__":
    main()
