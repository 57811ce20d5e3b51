"""Trains a variational autoencoder on handwritten digits, on two cores in about 20 seconds.

    python examples/train_mnist.py                         # 4,500 MNIST digits
    python examples/train_mnist.py --latent 2              # a latent plane, decoded on a grid
    python examples/train_mnist.py --likelihood gaussian   # with a learned variance
    python examples/train_mnist.py --dataset digits --quick
    torchrun --nproc-per-node 2 examples/train_mnist.py    # two processes share each batch

The output folder (``--out``) gets a checkpoint after each epoch, and at the end ``summary.json``
and PNGs: reconstructions, samples, a map of the latent space, and the ELBO by epoch. A run that
was killed goes on from its last epoch when the same command is given again, and ends where it would
have ended.

The images stay uint8: the likelihoods read such targets as x / 255 inside their kernels, and only
the encoder makes floating-point numbers of them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import time
from collections.abc import Iterable
from pathlib import Path

import checkpoints
import digits
import plots
import ranks
import torch
from checkpoints import History
from torch import Tensor, nn
from tqdm import tqdm

import vaekern as vk

CHECKPOINT = "checkpoint.pt"

# --- the model ------------------------------------------------------------------------------------


class Encoder(nn.Module):
    """uint8 images [B, pixels] -> (mu, logvar), both [B, latent]."""

    def __init__(self, pixels: int, hidden: int, latent: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(pixels, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2 * latent),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.layers(x.float() / 255).chunk(2, dim=-1)
        return mu, logvar


class Decoder(nn.Sequential):
    """z [B, latent] -> the likelihood's parameters, one per pixel: logits or means."""

    def __init__(self, pixels: int, hidden: int, latent: int) -> None:
        super().__init__(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, pixels))


def build_model(options: argparse.Namespace, images: Tensor) -> vk.VAE:
    pixels = images.shape[1]
    if options.likelihood == "gaussian":
        data_variance = (images.float() / 255).var().item()
        likelihood = vk.GaussianLikelihood(math.log(data_variance), learned=True)
    else:
        likelihood = vk.BernoulliLikelihood()
    return vk.VAE(
        Encoder(pixels, options.hidden, options.latent),
        Decoder(pixels, options.hidden, options.latent),
        likelihood,
        beta=options.beta,
        latent_shape=options.latent,
    )


# --- training -------------------------------------------------------------------------------------


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    batches: Iterable[Tensor],
) -> float:
    """One pass over the batches of images. Returns their mean ELBO along the way."""
    model.train()
    total, count = torch.zeros((), device=images.device), 0
    for rows in batches:
        out = model(images[rows.to(images.device)])
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        total += out.elbo.detach().sum()
        count += len(rows)
    total, images_seen = ranks.total(torch.stack([total, total.new_full((), count)]))
    return (total / images_seen).item()


@torch.no_grad()
def mean_elbo(vae: vk.VAE, images: Tensor, num_samples: int = 1) -> float:
    vae.eval()
    return vae.elbo(images, num_samples).mean().item()


def fit(
    vae: vk.VAE,
    optimizer: torch.optim.Optimizer,
    data: digits.Digits,
    history: History,
    options: argparse.Namespace,
) -> None:
    """Trains up to ``options.epochs``, with a checkpoint and a line of ``history`` per epoch."""
    first = ranks.is_first()
    model, images = ranks.data_parallel(vae), data.train_images
    bar = tqdm(total=options.epochs, initial=len(history), unit="epoch", dynamic_ncols=True,
               disable=not first)  # fmt: skip
    with bar:
        while len(history) < options.epochs:
            start = time.perf_counter()
            batches = ranks.batches(len(images), options.batch_size, len(history), options.seed)
            train = train_epoch(model, optimizer, images, batches)
            seconds = time.perf_counter() - start
            test = mean_elbo(vae, data.test_images)
            history.append({"train_elbo": train, "test_elbo": test, "seconds": seconds})
            if first:
                checkpoints.save(options.out / CHECKPOINT, vae, optimizer, history, options)
            bar.update()
            bar.set_postfix_str(f"ELBO (nats): train {train:.1f}, test {test:.1f}")


# --- results --------------------------------------------------------------------------------------


@torch.no_grad()
def evaluate(vae: vk.VAE, images: Tensor, importance_samples: int) -> dict[str, float]:
    """Averages over the images, in nats."""
    vae.eval()
    elbo = mean_elbo(vae, images, num_samples=10)
    kl = vk.gaussian_kl(*vae.encode(images)).mean().item()
    log_px = vae.log_marginal_likelihood(images, importance_samples).mean().item()
    return {"test_elbo": elbo, "reconstruction": elbo + kl, "kl": kl, "log_px": log_px}


@torch.no_grad()
def draw(vae: vk.VAE, data: digits.Digits, history: History, out: Path) -> None:
    """The figures."""
    vae.eval()
    shown = data.test_images[:64]
    plots.reconstructions(out / "reconstructions.png", shown / 255, vae.reconstruct(shown))
    plots.samples(out / "samples.png", vae.sample(100), "means of p(x | z), z ~ N(0, 1)")
    mu, _ = vae.encode(data.test_images)
    plots.latent_map(out / "latent_map.png", mu, data.test_labels)
    if mu.shape[1] == 2:
        means = vae.likelihood.mean(vae.decoder(normal_quantiles(20).to(mu)))
        plots.samples(
            out / "latent_grid.png", means, "means of p(x | z) in the plane of z", columns=20
        )
    train, test = ([epoch[f"{name}_elbo"] for epoch in history] for name in ("train", "test"))
    plots.elbo_curve(out / "elbo.png", train, test)


def normal_quantiles(n: int) -> Tensor:
    """An n x n grid of points in the plane [n * n, 2] with equal shares of N(0, 1) between them,
    the second coordinate decreasing from row to row as in a picture of the plane."""
    marks = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(n) + 0.5) / n)
    second, first = torch.meshgrid(marks.flip(0), marks, indexing="ij")
    return torch.stack([first, second], dim=-1).flatten(0, 1)


def report(results: dict[str, float], options: argparse.Namespace, held_out: int) -> None:
    seconds, epochs = results["seconds"], results["epochs"]
    print(f"""
On {held_out} held-out digits, averages in nats:
  ELBO            {results["test_elbo"]:9.2f}   (10 samples of z each)
  reconstruction  {results["reconstruction"]:9.2f}   E log p(x | z)
  KL              {results["kl"]:9.2f}
  log p(x)        {results["log_px"]:9.2f}   (importance sampling, {options.importance_samples})
Training: {seconds:.1f} s for {epochs} epochs on {options.device}, backend {options.backend}.
Figures and summary.json: {options.out}""")


# --- the command ----------------------------------------------------------------------------------


class WithDefaults(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, but where the text says them."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        says_it = "default:" in (action.help or "")
        return action.help if says_it else super()._get_help_string(action)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train a VAE on handwritten digits.", formatter_class=WithDefaults
    )
    add = parser.add_argument
    add("--dataset", choices=digits.SOURCES, default="mnist", help="28x28 MNIST, or 8x8 digits")
    backends = ("best", "reference", "cpu", "cuda", "triton")
    add("--backend", choices=backends, default="best", help="whose kernels")
    likelihoods = ("bernoulli", "gaussian")
    add("--likelihood", choices=likelihoods, default="bernoulli", help="of a pixel")
    add("--latent", type=int, default=20, help="dimensions of z")
    add("--hidden", type=int, default=400, help="units of the hidden layers")
    add("--beta", type=float, default=1.0, help="weight of the KL divergence in the loss")
    add("--epochs", type=int, default=120, help="passes over the training digits")
    add("--batch-size", type=int, default=100, help="digits in a step")
    add("--lr", type=float, default=1e-3, help="Adam's step size")
    add("--importance-samples", type=int, default=100, help="of z, to estimate log p(x)")
    default_device = "cuda" if torch.cuda.is_available() else "cpu"
    add("--device", type=torch.device, default=default_device, help="cpu, cuda, cuda:1, ...")
    add("--seed", type=int, default=0, help="of weights, order and noise")
    add("--out", type=Path, help="folder (default: runs/DATASET-LIKELIHOOD-zLATENT)")
    resume = "insist on, or ignore, the checkpoint in --out (default: use it if there is one)"
    add("--resume", action=argparse.BooleanOptionalAction, help=resume)
    add("--quick", action="store_true", help="2 epochs, to see that all of it works")
    options = parser.parse_args()
    if options.quick:
        options.epochs = 2
    if options.out is None:
        name = f"{options.dataset}-{options.likelihood}-z{options.latent}"
        options.out = Path("runs") / name
    return options


def run(options: argparse.Namespace) -> None:
    options.device = ranks.join(options.device)
    torch.manual_seed(options.seed)
    data = digits.load(options.dataset).to(options.device)
    vae = build_model(options, data.train_images).to(options.device)
    optimizer = torch.optim.Adam(vae.parameters(), lr=options.lr)

    options.out.mkdir(parents=True, exist_ok=True)
    checkpoint = options.out / CHECKPOINT
    history: History = []
    if options.resume or (options.resume is None and checkpoint.exists()):
        history = checkpoints.load(checkpoint, vae, optimizer, options)
    fit(vae, optimizer, data, history, options)
    if not ranks.is_first():
        return

    results = evaluate(vae, data.test_images, options.importance_samples)
    results["seconds"] = sum(epoch["seconds"] for epoch in history)
    results["epochs"] = len(history)
    (options.out / "summary.json").write_text(json.dumps(results, indent=2) + "\n")
    draw(vae, data, history, options.out)
    report(results, options, len(data.test_images))


def main() -> None:
    options = parse_options()
    forced = options.backend != "best"
    with vk.backend(options.backend) if forced else contextlib.nullcontext():
        try:
            run(options)
        finally:
            ranks.leave()


if __name__ == "__main__":
    main()
