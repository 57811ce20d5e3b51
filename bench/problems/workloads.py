"""The workloads: families at a size, and their tensors.

One set-up per workload, the same for every provider: random inputs, which of them want gradients,
and the upstream gradients of the results.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from operations.description import Form
from operations.operands import Operand, Random, Shape
from torch import Tensor

from bench.harness.timing import Step
from bench.problems.families import FAMILIES, Family

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Problem:
    """A workload's tensors. ``inputs`` are a form's arguments by position."""

    inputs: tuple[Tensor, ...]
    leaves: dict[str, Tensor]
    upstream: tuple[dict[torch.dtype, Tensor], ...]  # results come in the inputs' dtype or float32

    def forward(self, form: Form) -> tuple[Tensor, ...]:
        self.forget_gradients()
        results = form(*self.inputs)
        return results if isinstance(results, tuple) else (results,)

    def backward(self, results: tuple[Tensor, ...]) -> None:
        """Into fresh gradients."""
        gradients = [g[r.dtype] for g, r in zip(self.upstream, results, strict=True)]
        torch.autograd.backward(results, gradients)

    def step(self, form: Form) -> tuple[Tensor, ...]:
        """One forward and one backward."""
        results = self.forward(form)
        self.backward(results)
        return results

    def results_and_gradients(self, form: Form) -> list[Tensor]:
        """Of one step, detached; the gradients of the leaves that get one."""
        results = [result.detach() for result in self.step(form)]
        return results + [leaf.grad for leaf in self.leaves.values() if leaf.grad is not None]

    def timed_step(self, form: Form) -> Step:
        return Step(lambda: self.forward(form), self.backward, self.forget_gradients)

    def forget_gradients(self) -> None:
        for leaf in self.leaves.values():
            leaf.grad = None


@dataclass(frozen=True)
class Workload:
    name: str
    what: str
    family_name: str
    latent: Shape = ()
    data: Shape = ()

    @property
    def family(self) -> Family:
        return FAMILIES[self.family_name]

    @property
    def elements(self) -> int:
        """Of the largest tensor."""
        return max(math.prod(self.shape_of(operand)) for operand in self.family.operands)

    @property
    def sizes(self) -> str:
        shapes = {o.on: self.shape_of(o) for o in self.family.operands if o.on != "scalar"}
        return ", ".join(f"{on} {'x'.join(map(str, shape))}" for on, shape in shapes.items())

    def shape_of(self, operand: Operand) -> Shape:
        return {"latent": self.latent, "data": self.data, "scalar": ()}[operand.on]

    def bytes_to_move(self, dtype: torch.dtype, part: str = "both") -> int | None:
        """The least memory traffic; None for a part that has no bound of its own."""
        streams = self.family.streams.get(part)
        if streams is None:
            return None
        numbers = {"latent": math.prod(self.latent), "data": math.prod(self.data)}
        return sum(count * numbers[on] for on, count in streams.items()) * dtype.itemsize

    def times_batch(self, factor: int) -> Workload:
        """The same with ``factor`` times as many datapoints."""

        def larger(shape: Shape) -> Shape:
            return (shape[0] * factor, *shape[1:]) if shape else ()

        return replace(
            self,
            name=f"{self.name} x{factor}",
            latent=larger(self.latent),
            data=larger(self.data),
        )

    def make(self, dtype: torch.dtype, seed: int = 0, device: torch.device = _CPU) -> Problem:
        random = Random(dtype, device, seed)
        inputs = {o.name: o.draw(random, self.shape_of(o)) for o in self.family.operands}
        leaves = {o.name: inputs[o.name] for o in self.family.operands if o.is_leaf}
        for leaf in leaves.values():
            leaf.requires_grad_()
        return Problem(
            inputs=tuple(inputs.values()),
            leaves=leaves,
            upstream=tuple(self._upstream(result, random) for result in self.family.results),
        )

    def _upstream(self, result: str, random: Random) -> dict[torch.dtype, Tensor]:
        if result == "z":
            # As large as that of a mean over the batch where there is one, or an error in the
            # small gradient of the KL divergence would drown in it.
            is_mean = "mean" in self.family.results
            gradient = random.normal(self.latent, std=1.0 / self.latent[0] if is_mean else 1.0)
        elif result == "mean":
            gradient = random.constant(1.0)
        else:
            gradient = random.uniform((self.data or self.latent)[:1])
        return {dtype: gradient.to(dtype) for dtype in (torch.float32, random.dtype)}


WORKLOADS = {
    w.name: w
    for w in (
        Workload("W1", "MNIST MLP, Bernoulli", "bernoulli_elbo", (128, 20), (128, 784)),
        Workload("W2", "larger MLP, Bernoulli", "bernoulli_elbo", (512, 64), (512, 3136)),
        Workload("W3", "images, Bernoulli", "bernoulli_elbo", (64, 128), (64, 3, 64, 64)),
        Workload(
            "W4",
            "latent diffusion, Gaussian with a learned scalar logvar",
            "gaussian_elbo",
            (8, 4, 32, 32),
            (8, 3, 256, 256),
        ),
        Workload(
            "W5",
            "world model, sample and KL of two diagonal Gaussians",
            "sample_with_gaussian_kl",
            (16384, 1024),
        ),
        Workload(
            "W6",
            "images, mixture of 10 discretized logistics for each pixel",
            "image_nll",
            (16, 100, 32, 32),
            (16, 3, 32, 32),
        ),
        Workload(
            "W7",
            "world model, KL of 32 categoricals with a prior and unimix",
            "categorical_kl",
            (16, 64, 32, 32),
        ),
        Workload("W8", "dVAE, KL of 8,192 classes", "categorical_kl", (8, 32, 32, 8192)),
        Workload("W9", "world model, Dreamer's whole loss", "dreamer_loss", (16, 64, 32, 32)),
    )
}


def op_workload(op: str, elements: int) -> Workload:
    """An operation by itself on about as many elements, in rows of at most 1,024."""
    cols = min(1024, max(1, math.isqrt(elements)))
    shape = (elements // cols, cols)
    return Workload(op, "one operation", op, latent=shape, data=shape)
