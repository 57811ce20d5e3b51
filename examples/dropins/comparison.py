"""Trains models of another project with a drop-in and without, some steps of each in turn, and says
how equal they are and how long steps take. The scripts beside this one say which models."""

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

#: Steps that one side takes before it is the other's turn. The first is not timed: to put a drop-in
#: in place is to look through all modules, which leaves the caches full of them.
TURN = 4

NAN = float("nan")


@dataclass
class Model:
    """A module, and its loss on a batch, which may draw noise from torch's generator."""

    module: nn.Module
    loss: Callable[[Any], Tensor]


@dataclass
class Side:
    """One of those that start alike, trained within a context."""

    model: Model
    context: Callable[[], contextlib.AbstractContextManager[object]]
    seconds: list[float] = field(default_factory=list)  # the median of each turn
    losses: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.Adam(self.model.module.parameters(), lr=1e-4)

    def turn(self, seeds: range) -> None:
        with self.context():
            seconds = [self.step(seed) for seed in seeds]
        if len(seeds) == TURN:
            self.seconds.append(statistics.median(seconds[1:]))

    def step(self, seed: int) -> float:
        torch.manual_seed(seed)
        start = time.perf_counter()
        self.optimizer.zero_grad()
        loss = self.model.loss(self.model.module)
        loss.backward()
        self.optimizer.step()
        seconds = time.perf_counter() - start
        self.losses.append(loss.item())
        return seconds

    def gradients(self) -> list[Tensor]:
        found = [p.grad for p in self.model.module.parameters()]
        return [gradient.clone() for gradient in found if gradient is not None]

    def milliseconds(self) -> float:
        return 1e3 * statistics.median(self.seconds or [NAN])


def compare(make: Callable[[], Model], patch: Callable[[], Any], steps: int) -> dict[str, float]:
    """A step of each side, then turns. Ratios are medians of those of neighbouring turns, for a
    machine has better and worse minutes. ``same_ratio`` is that of the models without a drop-in and
    without one again: what is not 1 in it is what such a comparison cannot tell."""
    sides = []
    for context in (contextlib.nullcontext, patch, contextlib.nullcontext):
        torch.manual_seed(0)
        sides.append(Side(make(), context))
        sides[-1].turn(range(1))
    without, with_it, again = sides
    gradients = [side.gradients() for side in (without, with_it)]
    order = list(sides)
    for first in range(1, steps, TURN):
        for side in order:
            side.turn(range(first, min(first + TURN, steps)))
        order.append(order.pop(0))
    return {
        "loss": without.losses[0],
        "loss_difference": relative(with_it.losses[0], without.losses[0]),
        "gradient_difference": distance(*gradients) / distance(gradients[0]),
        "last_loss_difference": relative(with_it.losses[-1], without.losses[-1]),
        "without_ms": without.milliseconds(),
        "with_ms": with_it.milliseconds(),
        "ratio": ratio(without, with_it),
        "same_ratio": ratio(without, again),
    }


def ratio(a: Side, b: Side) -> float:
    return statistics.median([x / y for x, y in zip(a.seconds, b.seconds, strict=True)] or [NAN])


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
            print(
                f"    {found['without_ms']:.2f} ms, {found['with_ms']:.2f} ms with vaekern: "
                f"x{found['ratio']:.2f} (without it again: x{found['same_ratio']:.2f})"
            )
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
    if arguments.no_times:
        row |= dict.fromkeys(("without_ms", "with_ms", "ratio", "same_ratio"), "")
    new = not arguments.csv.exists()
    with arguments.csv.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)
