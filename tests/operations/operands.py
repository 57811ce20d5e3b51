"""What operations are measured on: their inputs, and how those are drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Shape = tuple[int, ...]
Draw = Callable[["Random", Shape], Tensor]


class Random:
    """Random numbers of a seed on a device: the same values, rounded, for each dtype."""

    def __init__(self, dtype: torch.dtype, device: torch.device, seed: int) -> None:
        self.dtype = dtype
        self.device = device
        self.generator = torch.Generator(device).manual_seed(seed)

    def normal(self, shape: Shape, mean: float = 0.0, std: float = 1.0) -> Tensor:
        numbers = torch.randn(shape, generator=self.generator, device=self.device)
        return numbers.mul_(std).add_(mean).to(self.dtype)

    def uniform(self, shape: Shape) -> Tensor:
        return torch.rand(shape, generator=self.generator, device=self.device).to(self.dtype)

    def levels(self, shape: Shape) -> Tensor:
        """256 of them, rescaled to [-1, 1]."""
        numbers = torch.randint(256, shape, generator=self.generator, device=self.device)
        return (2.0 * numbers / 255.0 - 1.0).to(self.dtype)

    def sigmoid(self, shape: Shape) -> Tensor:
        return torch.sigmoid(self.normal(shape).float()).to(self.dtype)

    def counts(self, shape: Shape) -> Tensor:
        """From 0 to 15, which every dtype holds."""
        generator = self.generator
        return torch.randint(16, shape, generator=generator, device=self.device).to(self.dtype)

    def constant(self, number: float) -> Tensor:
        return torch.full((), number, dtype=self.dtype, device=self.device)


@dataclass(frozen=True)
class Operand:
    """An input; ``on`` names its shape, of those that a workload has. Data get no gradient;
    ``is_full`` is whether it has a number for each of the shape's."""

    name: str
    on: str
    draw: Draw
    is_leaf: bool = True
    is_full: bool = True


def data(name: str, draw: Draw, *, is_full: bool = True) -> Operand:
    return Operand(name, "data", draw, is_leaf=False, is_full=is_full)


def scalar(name: str, number: float) -> Operand:
    """A learned one, shared by all."""
    return Operand(name, "scalar", lambda random, _: random.constant(number), is_full=False)


def normal(random: Random, shape: Shape) -> Tensor:
    return random.normal(shape)


def logvar(random: Random, shape: Shape) -> Tensor:
    return random.normal(shape, mean=-1.0, std=0.5)


# Those of standard deviation 1 stay below 6, where a bfloat16 sigmoid becomes 1 and peers that take
# probabilities lose their gradient.
LOGITS = Operand("logits", "data", normal)
POSTERIOR = (Operand("mu", "latent", normal), Operand("logvar", "latent", logvar))
PRIOR = (Operand("prior_mu", "latent", normal), Operand("prior_logvar", "latent", logvar))
