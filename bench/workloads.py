"""The workloads: what a VAE's training step computes around its networks, forward and backward.

One set-up per workload, the same for every provider: random inputs, which of them want gradients,
and the upstream gradients of the two results. Everything else here follows from the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

#: A provider's code for one family of workloads: inputs -> (z, loss or KL per datapoint).
Form = Callable[..., tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Problem:
    """A workload's tensors. ``inputs`` are a form's arguments by position."""

    inputs: tuple[Tensor, ...]
    leaves: dict[str, Tensor]
    z_gradient: Tensor
    out_gradients: dict[torch.dtype, Tensor]  # results come in the inputs' dtype or in float32

    def step(self, form: Form) -> tuple[Tensor, Tensor]:
        """One forward and one backward, into fresh gradients."""
        self.forget_gradients()
        z, out = form(*self.inputs)
        torch.autograd.backward([out, z], [self.out_gradients[out.dtype], self.z_gradient])
        return z, out

    def forget_gradients(self) -> None:
        for leaf in self.leaves.values():
            leaf.grad = None


@dataclass(frozen=True)
class Workload:
    """``family`` says which inputs and results: see ``_FAMILIES``."""

    name: str
    what: str
    family: str
    latent: tuple[int, ...]
    data: tuple[int, ...] = ()

    def bytes_to_move(self, dtype: torch.dtype) -> int:
        """The least memory traffic of a step, if each tensor is read and written as rarely as can
        be: nothing is stored between forward and backward, noise is made in the kernels."""
        if self.family == "gaussian_kl":
            # forward: mu, logvar, prior_mu, prior_logvar -> z; backward: those, gz -> 4 gradients
            elements = 14 * math.prod(self.latent)
        else:
            # likelihood: output, x -> gradient, in one pass; latent: mu, logvar -> z in the
            # forward and mu, logvar, gz -> 2 gradients in the backward
            elements = 3 * math.prod(self.data) + 8 * math.prod(self.latent)
        return elements * dtype.itemsize

    def make(self, dtype: torch.dtype, seed: int = 0) -> Problem:
        """Random inputs: the same values, rounded, for each dtype."""
        random = _Random(dtype, seed)
        inputs, out_shape = _FAMILIES[self.family](self, random)
        leaves = {name: t.requires_grad_() for name, t in inputs.items() if name != "x"}
        # A gradient of z as large as that of a mean over the batch, or an error in the small one
        # of the KL divergence would drown in it.
        scale = 1.0 if out_shape else 1.0 / self.latent[0]
        out_gradient = random.uniform(out_shape) if out_shape else torch.ones(())
        return Problem(
            inputs=tuple(inputs.values()),
            leaves=leaves,
            z_gradient=random.normal(self.latent, std=scale),
            out_gradients={d: out_gradient.to(d) for d in (torch.float32, dtype)},
        )


class _Random:
    def __init__(self, dtype: torch.dtype, seed: int) -> None:
        self.dtype = dtype
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, shape: tuple[int, ...], mean: float = 0.0, std: float = 1.0) -> Tensor:
        return torch.randn(shape, generator=self.generator).mul_(std).add_(mean).to(self.dtype)

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        return torch.rand(shape, generator=self.generator).to(self.dtype)


def _posterior(workload: Workload, random: _Random) -> dict[str, Tensor]:
    return {
        "mu": random.normal(workload.latent),
        "logvar": random.normal(workload.latent, mean=-1.0, std=0.5),
    }


def _bernoulli(workload: Workload, random: _Random) -> tuple[dict[str, Tensor], tuple[int, ...]]:
    # Logits of standard deviation 1 stay below 6, where a bfloat16 sigmoid becomes 1 and peers
    # that take probabilities lose their gradient.
    data = {"logits": random.normal(workload.data), "x": random.uniform(workload.data)}
    return data | _posterior(workload, random), ()


def _gaussian(workload: Workload, random: _Random) -> tuple[dict[str, Tensor], tuple[int, ...]]:
    # x is no sample of the model, or the derivative of the shared logvar would be a difference of
    # two nearly equal sums, which no provider in bfloat16 gets right.
    data = {
        "mean": random.normal(workload.data),
        "x_logvar": torch.full((), -1.0, dtype=random.dtype),
        "x": random.normal(workload.data),
    }
    return data | _posterior(workload, random), ()


def _gaussian_kl(workload: Workload, random: _Random) -> tuple[dict[str, Tensor], tuple[int, ...]]:
    q = _posterior(workload, random)
    p = {f"prior_{name}": tensor for name, tensor in _posterior(workload, random).items()}
    return q | p, workload.latent[:1]


#: family -> inputs in the order that forms take them, and the shape of the result beside z
_FAMILIES = {"bernoulli": _bernoulli, "gaussian": _gaussian, "gaussian_kl": _gaussian_kl}

WORKLOADS = {
    w.name: w
    for w in (
        Workload("W1", "MNIST MLP, Bernoulli", "bernoulli", (128, 20), (128, 784)),
        Workload("W2", "larger MLP, Bernoulli", "bernoulli", (512, 64), (512, 3136)),
        Workload("W3", "images, Bernoulli", "bernoulli", (64, 128), (64, 3, 64, 64)),
        Workload(
            "W4",
            "latent diffusion, Gaussian with a learned scalar logvar",
            "gaussian",
            (8, 4, 32, 32),
            (8, 3, 256, 256),
        ),
        Workload(
            "W5",
            "world model, sample and KL of two diagonal Gaussians",
            "gaussian_kl",
            (16384, 1024),
        ),
    )
}
