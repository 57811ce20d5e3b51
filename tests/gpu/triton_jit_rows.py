"""What ``triton_jit.py`` compiles of the kernels over rows of logits: each with the operands that
it may have or lack, in the dtypes and shapes that Triton specialises differently."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from triton_jit_launches import DTYPES

import vaekern as vk
from vaekern._backends.launch import Softmax, SoftmaxKernel
from vaekern._backends.triton import BACKEND

if TYPE_CHECKING:
    from triton_jit import Real


class Rows(NamedTuple):
    """Their number, their classes, and how many rows make a sum."""

    rows: int
    classes: int
    per_sum: int
    beyond: int = 0  # an address that 16 divides, in elements


SHAPES = {
    "one_class": Rows(6, 1, 2),
    "three_classes": Rows(6, 3, 2),
    "by_16": Rows(64, 32, 32),
    "long_rows": Rows(3, 8192, 3),
    "not_by_16": Rows(5, 5003, 1),
    "one_row": Rows(1, 10, 1),
    "misaligned": Rows(4, 32, 2, beyond=1),
    "more_than_32_bits": Rows(2**26, 33, 2**25),  # on tensors without memory
}

#: What a call has or lacks. "detached" logits get no gradient, and their prior does. Without a
#: "seed" there are numbers; with "temperatures", one for each sum.
OPTIONS = {
    SoftmaxKernel.KL: ("prior", "mask", "unimix"),
    SoftmaxKernel.KL_VJP: ("prior", "mask", "unimix", "detached"),
    SoftmaxKernel.SAMPLE: ("seed", "unimix"),
    SoftmaxKernel.SAMPLE_VJP: ("unimix",),
    SoftmaxKernel.RELAXED: ("seed", "temperatures"),
    SoftmaxKernel.RELAXED_HARD: ("seed", "temperatures"),
    SoftmaxKernel.RELAXED_VJP: ("seed", "temperatures", "sums"),
}


def _ways() -> Iterator[str]:
    """Kernels with some of their options: where there are many, any two in all their ways."""
    for kernel, options in OPTIONS.items():
        step = 1 if len(options) <= 2 else 2
        for n in range(0, len(options) + 1, step):
            for chosen in combinations(options, n):
                yield "-".join((kernel.name, *chosen))


WAYS = tuple(_ways())


def rows(real: Real, way: str, shape: str, dtype: str) -> None:
    name, *options = way.split("-")
    kernel = SoftmaxKernel[name]
    of_kl = kernel in (SoftmaxKernel.KL, SoftmaxKernel.KL_VJP)
    memory = _Memory(SHAPES[shape], dtype)
    call = (_kl if of_kl else _samples)(kernel, frozenset(options), memory)
    BACKEND.softmax(call)


class _Memory:
    """Tensors of a shape."""

    def __init__(self, shape: Rows, dtype: str) -> None:
        of_all = DTYPES[dtype]
        self.own, self.others = of_all if isinstance(of_all, tuple) else (of_all, of_all)
        self.shape = shape
        self.wide = torch.float64 if self.own is torch.float64 else torch.float32

    def _empty(self, dtype: torch.dtype, *shape: int) -> Tensor:
        device = "cpu" if self.shape.rows < 2**20 else "meta"
        n = self.shape.beyond
        return torch.zeros(math.prod(shape) + n, dtype=dtype, device=device)[n:].view(shape)

    def logits(self) -> Tensor:
        return self._empty(self.own, self.shape.rows, self.shape.classes)

    def others_of_rows(self) -> Tensor:
        return self._empty(self.others, self.shape.rows, self.shape.classes)

    def one_row(self) -> Tensor:
        return self._empty(self.own, 1, self.shape.classes)

    def sums(self) -> Tensor:
        return self._empty(self.wide, self.shape.rows // self.shape.per_sum)

    def one_number(self) -> Tensor:
        return self._empty(self.wide)

    def mask(self) -> Tensor:
        return self._empty(torch.bool, self.shape.rows)

    def seed(self) -> Tensor:
        return self._empty(torch.int64, 2)


def _kl(kernel: SoftmaxKernel, options: frozenset[str], memory: _Memory) -> Softmax:
    prior = memory.others_of_rows() if "prior" in options else memory.one_row()
    call = Softmax(
        kernel,
        memory.shape[:3],
        0.01 if "unimix" in options else 0.0,
        memory.logits(),
        prior,
        mask=memory.mask() if "mask" in options else None,
    )
    if kernel is SoftmaxKernel.KL:
        return call._replace(sums=memory.sums())
    detached = "detached" in options
    gradients = (
        None if detached else memory.logits(),
        memory.others_of_rows() if detached or "prior" in options else None,
    )
    upstream = memory.sums()
    return call._replace(upstream=upstream, other_upstream=upstream, rows=gradients)


def _samples(kernel: SoftmaxKernel, options: frozenset[str], memory: _Memory) -> Softmax:
    call = Softmax(
        kernel,
        memory.shape[:3],
        0.01 if "unimix" in options else 0.0,
        memory.logits(),
        rows=(memory.logits(), None),
    )
    if kernel is not SoftmaxKernel.SAMPLE_VJP:
        noise = memory.seed() if "seed" in options else memory.others_of_rows()
        call = call._replace(noise=noise)
    if kernel in (SoftmaxKernel.SAMPLE_VJP, SoftmaxKernel.RELAXED_VJP):
        call = call._replace(other=memory.logits())
    if kernel in (SoftmaxKernel.SAMPLE, SoftmaxKernel.SAMPLE_VJP):
        return call._replace(sizes=(*memory.shape[:2], 1))
    one_each = "temperatures" in options
    of_temperature = memory.sums if one_each else memory.one_number
    sizes = memory.shape[:3] if one_each else (*memory.shape[:2], memory.shape.rows)
    sums = of_temperature() if "sums" in options else None
    return call._replace(temperature=of_temperature(), sizes=sizes, sums=sums)


def expect_ways(real: Real, ways: list[str], shapes: list[str]) -> None:
    """That these are all that there are, of every kernel."""
    assert ways == list(WAYS)
    assert shapes == list(SHAPES)
    assert list(OPTIONS) == list(SoftmaxKernel)


def training(real: Real, variables: int, classes: int, sizes: list[int]) -> None:
    """Steps with batches of these sizes: categorical latents with a prior of each kind, and relaxed
    ones with a temperature that is learned."""
    width = variables * classes
    encoder, dynamics = (torch.nn.Linear(width, width) for _ in range(2))
    own_prior = torch.zeros(variables, classes, requires_grad=True)
    temperature = torch.ones((), requires_grad=True)
    for size in sizes:
        x = torch.rand(size, width)
        posterior, prior = (net(x).view(size, variables, classes) for net in (encoder, dynamics))
        z = vk.sample_categorical(posterior, unimix=0.01)
        relaxed = vk.gumbel_softmax(posterior, temperature)
        hard = vk.gumbel_softmax(posterior, temperature, hard=True)
        mask = torch.rand(size, variables) < 0.7
        loss = (z + relaxed + hard).sum() + sum(
            kl.mean()
            for kl in (
                vk.categorical_kl(posterior),
                vk.categorical_kl(posterior, own_prior),
                vk.categorical_kl(posterior, prior.detach(), unimix=0.01),
                vk.categorical_kl(posterior.detach(), prior, unimix=0.01),
                vk.categorical_kl(posterior, prior, mask=mask),
            )
        )
        loss.backward()
