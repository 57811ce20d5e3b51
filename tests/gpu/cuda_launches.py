"""Odd launches on an emulated CUDA engine. As a script: the first problem with the engine in that
file, for engines that may well end the process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cuda_emulation as emulation
import torch
from raw_launch import Launch

from vaekern._backends import cuda
from vaekern._backends.launch import Mixture
from vaekern._backends.plain import logistic_mixture_log_likelihood

#: Of the threads of a block, and of the blocks.
ORDERS = (("forward", 0), ("reverse", 0), ("shuffled", 1), ("shuffled", 2))

#: And how many dimensions make rows.
SHAPES = (
    ((1, 1), 1),
    ((13,), 0),
    ((13,), 1),
    ((7, 13), 1),
    ((3, 1, 5), 2),
    ((4, 5, 8), 1),
    ((4, 5, 8), 2),
    ((5, 2, 3, 7), 2),
    ((257, 3), 1),
    ((31, 64), 1),
    ((128, 33), 1),
    ((3, 701), 1),
    ((1000, 20), 1),
    ((1, 16384), 1),
    ((2, 4099), 1),
    ((8, 3, 1031), 1),
)


def run(engine: ModuleType, launch: Launch, order: tuple[str, int]) -> None:
    engine.set_order(*order)
    engine.run_cuda(*launch.arguments(engine), 0, 0, launch.workspace)


def problems(
    engine: ModuleType, shape: tuple[int, ...], row_dims: int, in_double: bool, launches: int = 3
) -> Iterator[str]:
    """What a few launches of every kernel find wrong."""
    for number, kernel in enumerate(engine.kernels()):
        for seed in range(launches * number, launches * (number + 1)):
            launch = Launch(kernel, in_double, shape, row_dims, seed)
            try:
                run(engine, launch, ORDERS[seed % len(ORDERS)])
                launch.check()
            except (AssertionError, RuntimeError) as error:
                yield str(error)


def problems_of_mixtures(engine: ModuleType) -> Iterator[str]:
    """What the sums over pixels get wrong, two blocks of them, in some order of threads."""
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(2, 20, 130, generator=generator)
    x = 2.0 * torch.rand(2, 3, 130, generator=generator) - 1.0
    want = logistic_mixture_log_likelihood(params.double(), x.double(), 1)
    mixture = cuda.backend_of(engine, lambda _: 0).mixture
    for order in ORDERS:
        engine.set_order(*order)
        got = torch.empty(2)
        mixture(Mixture((2, 2, 130), params, x), None, got)
        if not torch.allclose(got.double(), want, rtol=1e-5, atol=0.0):
            yield f"mixture, {order}: got {got.tolist()}, want {want.tolist()}"


def main(path: str) -> None:
    engine = emulation.load(Path(path))
    for problem in problems_of_mixtures(engine):
        sys.exit(problem)
    for shape, row_dims in SHAPES:
        for in_double in (False, True):
            for problem in problems(engine, shape, row_dims, in_double, launches=9):
                sys.exit(problem)


if __name__ == "__main__":
    main(sys.argv[1])
