"""The figures that the example draws, each into one PNG."""

from __future__ import annotations

from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

DPI = 120


def grid(images: Tensor, columns: int) -> Tensor:
    """Square images [N, side * side] side by side in one picture."""
    side = round(images.shape[1] ** 0.5)
    gap = max(1, side // 14)
    framed = images.new_full((len(images), side + gap, side + gap), 0.5)
    framed[:, :side, :side] = images.reshape(-1, side, side)
    rows = framed.reshape(-1, columns, side + gap, side + gap)
    return rows.transpose(1, 2).flatten(0, 1).flatten(1)[:-gap, :-gap]


def _draw(axes: Axes, images: Tensor, columns: int, title: str) -> None:
    axes.imshow(grid(images.cpu(), columns), cmap="gray", vmin=0, vmax=1)
    axes.set_title(title)
    axes.set_axis_off()


def reconstructions(path: Path, images: Tensor, means: Tensor, columns: int = 8) -> None:
    """Images beside the means of p(x | z) at the means of their posteriors."""
    figure = Figure(figsize=(9, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw(left, images, columns, "test digits")
    _draw(right, means, columns, "their reconstructions")
    figure.savefig(path, dpi=DPI)


def samples(path: Path, means: Tensor, title: str, columns: int = 10) -> None:
    """One grid of images."""
    figure = Figure(figsize=(6, 6.3), layout="constrained")
    _draw(figure.subplots(), means, columns, title)
    figure.savefig(path, dpi=DPI)


def latent_map(path: Path, mu: Tensor, labels: Tensor) -> None:
    """The posteriors' means [N, latent], coloured by digit: in the latent plane if there are two
    dimensions, on their first two principal components if there are more."""
    points, names = _plane(mu.cpu())
    figure = Figure(figsize=(6.6, 6), layout="constrained")
    axes = figure.subplots()
    dots = axes.scatter(*points.T, c=labels.cpu(), cmap="tab10", vmin=-0.5, vmax=9.5, s=14)
    figure.colorbar(dots, ax=axes, ticks=range(10), label="digit")
    axes.set(xlabel=names[0], ylabel=names[1], title="posterior means of the test digits")
    axes.set_aspect("equal", adjustable="datalim")
    figure.savefig(path, dpi=DPI)


def _plane(mu: Tensor) -> tuple[Tensor, tuple[str, str]]:
    if mu.shape[1] == 1:
        mu = torch.cat([mu, torch.zeros_like(mu)], dim=1)
    if mu.shape[1] == 2:
        return mu, ("z[0]", "z[1]")
    centred = mu - mu.mean(dim=0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:2].T, ("principal component 1", "principal component 2")


def elbo_curve(path: Path, train: list[float], test: list[float]) -> None:
    """Per epoch. The first ones, far below the rest, are left out of the picture."""
    epochs = range(1, len(test) + 1)
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(epochs, train, label="train")
    axes.plot(epochs, test, label="test")
    settled = len(test) // 15
    axes.set_ylim(bottom=min(train[settled:] + test[settled:]))
    axes.set(xlabel="epoch", ylabel="ELBO per digit (nats)", title=f"test: {test[-1]:.1f} nats")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=DPI)
