"""Trains models of another project with a drop-in and without, step by step in turn, and says how
equal they are and how long steps take. The scripts beside this one say which models."""

from __future__ import annotations

import argparse
import contextlib
import csv
import datetime
import importlib.metadata
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import vaekern as vk

WARM_UP = 3  # steps that are not timed


@dataclass
class Model:
    """A module, and its loss on a batch, which may draw noise from torch's generator."""

    module: nn.Module
    loss: Callable[[Any], Tensor]


@dataclass
class Side:
    """One of two that start alike, trained within a context."""

    model: Model
    context: Callable[[], contextlib.AbstractContextManager[object]]
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.Adam(self.model.module.parameters(), lr=1e-4)

    def step(self, seed: int) -> None:
        with self.context():  # looks through all modules: not timed
            torch.manual_seed(seed)
            start = time.perf_counter()
            self.optimizer.zero_grad()
            loss = self.model.loss(self.model.module)
            loss.backward()
            self.optimizer.step()
            self.seconds.append(time.perf_counter() - start)
        self.losses.append(loss.item())

    def gradients(self) -> list[Tensor]:
        found = [p.grad for p in self.model.module.parameters()]
        return [gradient.clone() for gradient in found if gradient is not None]

    def milliseconds(self) -> float:
        return 1e3 * statistics.median(self.seconds[WARM_UP:] or self.seconds)


def compare(make: Callable[[], Model], patch: Callable[[], Any], steps: int) -> dict[str, float]:
    """Both sides' steps, in turn, each first every other time."""
    sides = []
    for context in (contextlib.nullcontext, patch):
        torch.manual_seed(0)
        sides.append(Side(make(), context))
    without, with_it = sides
    gradients: list[list[Tensor]] = []
    for k in range(steps):
        for side in (without, with_it) if k % 2 else (with_it, without):
            side.step(seed=k)
        if k == 0:
            gradients = [without.gradients(), with_it.gradients()]
    return {
        "loss": without.losses[0],
        "loss_difference": relative(with_it.losses[0], without.losses[0]),
        "gradient_difference": distance(*gradients) / distance(gradients[0]),
        "last_loss_difference": relative(with_it.losses[-1], without.losses[-1]),
        "without_ms": without.milliseconds(),
        "with_ms": with_it.milliseconds(),
    }


def distance(a: Sequence[Tensor], b: Sequence[Tensor] | None = None) -> float:
    """Between two gradients of all parameters, or of one from 0."""
    differences = a if b is None else [x - y for x, y in zip(a, b, strict=True)]
    return float(torch.stack([d.norm() for d in differences]).norm())


def relative(a: float, b: float) -> float:
    return abs(a - b) / abs(b)


def main(package: str, patch: Callable[[], Any], models: Mapping[str, Callable[[], Model]]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=40, help="of each side")
    parser.add_argument("--only", choices=list(models), action="append", help="such models")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--csv", type=Path, help="append rows to this file")
    parser.add_argument("--no-times", action="store_true", help="of a machine that is not idle")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    version = importlib.metadata.version(package)
    print(f"{package} {version}, torch {torch.__version__}, vaekern {vk.__version__}")
    for name in arguments.only or models:
        found = compare(models[name], patch, arguments.steps)
        print(
            f"{name}: loss {found['loss']:.6g}, relative difference of losses "
            f"{found['loss_difference']:.1e}, of gradients {found['gradient_difference']:.1e}, "
            f"of losses after {arguments.steps} steps {found['last_loss_difference']:.1e}"
        )
        if not arguments.no_times:
            without, with_it = found["without_ms"], found["with_ms"]
            print(f"    {without:.2f} ms, {with_it:.2f} ms with vaekern: x{without / with_it:.2f}")
        if arguments.csv:
            append(arguments, {"project": package, "version": version, "model": name}, found)


def append(arguments: argparse.Namespace, row: dict[str, str], found: dict[str, float]) -> None:
    """A row of what was found, without times if they are not wanted."""
    row = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ"),
        "vaekern": vk.__version__,
        "torch": torch.__version__,
        **row,
        "steps": str(arguments.steps),
        "threads": str(arguments.threads),
    }
    row |= {name: f"{value:.3g}" for name, value in found.items()}
    row["ratio"] = f"{found['without_ms'] / found['with_ms']:.3g}"
    if arguments.no_times:
        row |= dict.fromkeys(("without_ms", "with_ms", "ratio"), "")
    new = not arguments.csv.exists()
    with arguments.csv.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
