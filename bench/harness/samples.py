"""Whether samples are right, whose noise is a provider's own: their distribution, and their share
of the gradients, which follows from the samples themselves."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from operations.every import DESCRIPTIONS
from torch import Tensor

from bench.problems.families import Family
from bench.problems.workloads import Problem

SIGMAS = 6.0
#: As likely as noise that is new may be what it was before: samples of few classes can.
BY_CHANCE = 1e-9


class Samples(Protocol):
    """Of one problem. ``gz`` is the gradient with respect to them."""

    def repeat(self, previous: Tensor, z: Tensor) -> bool: ...

    def fault(self, z: Tensor) -> str | None: ...

    def share(self, name: str, z: Tensor, gz: Tensor) -> Tensor | float:
        """Of the gradient of an input, in float64."""


def samples_of(problem: Problem, family: Family) -> Samples | None:
    if "z" not in family.results:
        return None
    if "mu" in problem.leaves:
        return NormalSamples(problem)
    constants = DESCRIPTIONS[family.name].constants
    return ClassSamples(problem, constants.get("unimix", 0.0), constants.get("temperature"))


class NormalSamples:
    """z = mu + e^(v/2) eps."""

    def __init__(self, problem: Problem) -> None:
        self._mu, self._logvar = (
            problem.leaves[name].detach().double() for name in ("mu", "logvar")
        )

    def repeat(self, previous: Tensor, z: Tensor) -> bool:
        return torch.equal(previous, z)

    def fault(self, z: Tensor) -> str | None:
        eps = (z - self._mu) * torch.exp(-0.5 * self._logvar)
        slack = 1e-2 + SIGMAS * math.sqrt(2.0 / eps.numel())  # rounding of z, and 6 sigma
        mean, variance = eps.mean().item(), eps.var().item()
        if abs(mean) < slack and abs(variance - 1.0) < slack:
            return None
        return f"the noise has mean {mean:.3g} and variance {variance:.3g}"

    def share(self, name: str, z: Tensor, gz: Tensor) -> Tensor | float:
        """dz/dmu = 1, dz/dv = e^(v/2) eps / 2 = (z - mu) / 2."""
        if name == "mu":
            return gz
        return 0.5 * gz * (z - self._mu) if name == "logvar" else 0.0


class ClassSamples:
    """One-hot samples of q = (1 - unimix) softmax(logits) + unimix / K, whose gradient is that of q
    in their place, or, with a temperature, relaxed: softmax((logits + noise) / temperature)."""

    def __init__(self, problem: Problem, unimix: float, temperature: float | None) -> None:
        self._softmax = problem.leaves["logits"].detach().double().softmax(-1)
        self._share_of_softmax = 1.0 - unimix
        self._q = self._share_of_softmax * self._softmax + unimix / self._softmax.shape[-1]
        self._temperature = temperature

    def repeat(self, previous: Tensor, z: Tensor) -> bool:
        log_chance = self._q.square().sum(-1).log().sum().item()
        may_repeat = self._temperature is None and log_chance > math.log(BY_CHANCE)
        return not may_repeat and torch.equal(previous, z)

    def fault(self, z: Tensor) -> str | None:
        """The largest number of a relaxed sample is of each class as often as a one-hot one's."""
        is_largest = torch.nn.functional.one_hot(z.argmax(-1), z.shape[-1]).double()
        rows = tuple(range(z.dim() - 1))
        off = (is_largest - self._q).sum(rows).abs()
        deviation = (self._q * (1.0 - self._q)).sum(rows).sqrt()
        if not (off <= SIGMAS * deviation + 1.0).all():
            return f"a class is sampled {off.max().item():.3g} times too often or too rarely"
        total = z.double().sum(-1)
        if not torch.allclose(total, torch.ones_like(total), atol=2e-2):
            return f"samples add up to {total.min().item():.3g} to {total.max().item():.3g}"
        return None

    def share(self, name: str, z: Tensor, gz: Tensor) -> Tensor | float:
        if name != "logits":
            return 0.0
        p, steep = self._softmax, self._share_of_softmax
        if self._temperature is not None:
            p, steep = z.double(), 1.0 / self._temperature
        return steep * p * (gz - (p * gz).sum(-1, keepdim=True))
