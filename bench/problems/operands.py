"""What computations are measured on: their inputs, and how those are drawn."""

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
    """An input; ``on`` names its shape, of those that a workload has. ``x`` gets no gradient."""

    name: str
    on: str
    draw: Draw

    @property
    def is_leaf(self) -> bool:
        return self.name != "x"


def normal(random: Random, shape: Shape) -> Tensor:
    return random.normal(shape)


def _logvar(random: Random, shape: Shape) -> Tensor:
    return random.normal(shape, mean=-1.0, std=0.5)


# Logits of standard deviation 1 stay below 6, where a bfloat16 sigmoid becomes 1 and peers that
# take probabilities lose their gradient.
BERNOULLI = (
    Operand("logits", "data", normal),
    Operand("x", "data", Random.uniform),
)
BERNOULLI_PROBS = (
    Operand("probs", "data", Random.sigmoid),
    Operand("x", "data", Random.uniform),
)
# x is no sample of the model, or the derivative of the shared logvar would be a difference of two
# nearly equal sums, which no provider in bfloat16 gets right.
GAUSSIAN = (
    Operand("mean", "data", normal),
    Operand("x_logvar", "scalar", lambda random, _: random.constant(-1.0)),
    Operand("x", "data", normal),
)
LAPLACE = (
    Operand("loc", "data", normal),
    Operand("log_scale", "scalar", lambda random, _: random.constant(-0.5)),
    Operand("x", "data", normal),
)
DISCRETIZED_LOGISTIC = (
    Operand("loc", "data", lambda random, shape: random.normal(shape, std=0.5)),
    Operand("log_scale", "scalar", lambda random, _: random.constant(-1.5)),
    Operand("x", "data", Random.levels),
)
STUDENT_T = (*LAPLACE[:2], Operand("df", "scalar", lambda random, _: random.constant(4.0)),
              LAPLACE[2])  # fmt: skip
# Classes are the last dimension of the data; of x there is one for each row.
CATEGORICAL = (
    Operand("logits", "data", normal),
    Operand("x", "data", lambda random, shape: random.uniform(shape).argmax(-1)),
)
MULTINOMIAL = (
    Operand("logits", "data", normal),
    Operand("x", "data", lambda random, shape: random.uniform(shape).mul_(4.0).floor_()),
)
POISSON = (Operand("log_rate", "data", normal), Operand("x", "data", Random.counts))
NEGATIVE_BINOMIAL = (
    Operand("log_mean", "data", normal),
    Operand("log_dispersion", "scalar", lambda random, _: random.constant(1.0)),
    Operand("x", "data", Random.counts),
)
ZERO_INFLATED = (
    *NEGATIVE_BINOMIAL[:2],
    Operand("zero_logits", "scalar", lambda random, _: random.constant(-1.0)),
    NEGATIVE_BINOMIAL[2],
)
POSTERIOR = (Operand("mu", "latent", normal), Operand("logvar", "latent", _logvar))
PRIOR = (Operand("prior_mu", "latent", normal), Operand("prior_logvar", "latent", _logvar))
