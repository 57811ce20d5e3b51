"""Odd launches on an emulated CUDA engine. As a script: the first problem with the engine in that
file, for engines that may well end the process."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cuda_emulation as emulation
import torch
from raw_launch import ELEMENTS, ROW_SUM, Kernel, Launch, Result

from vaekern._backends import cpu, cuda
from vaekern._backends.launch import Mixture, Softmax, SoftmaxKernel
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


#: Of dense launches, of which some have kernels of their own (csrc/cuda/forms.h).
DENSE_SHAPES = ((1, 8), (33, 128), (300, 24), (3, 4104))
#: Whose threads take two groups of elements, and four.
LARGE_SHAPES = ((20000, 136), (31000, 136))
#: By operation and variant, of each input whether it is one number (r) or noise (n), and each
#: output's kind.
DENSE = {
    ("bernoulli_log_likelihood", "value"): ("et", "s"),
    ("gaussian_log_likelihood", "value_and_vjp"): ("rert", "sesd"),
    ("reparameterize", "value"): ("een", "e"),
}


class DenseLaunch(Launch):
    """What training steps launch: contiguous float32."""

    def __init__(self, kernel: Kernel, shape: tuple[int, int], seed: int) -> None:
        self._letters = DENSE[kernel[0], kernel[2]]
        super().__init__(kernel, False, shape, 1, seed)
        self.inputs = tuple([self._draw_dense(letter) for letter in self._letters[0]])

    def _draw_dense(self, letter: str) -> object:
        if letter == "r":
            return self._random.uniform(0.1, 0.9)
        if letter == "n":
            return self._draw_input(True)
        tensor = self.allocate(math.prod(self.shape), torch.float32)
        return tensor.uniform_(0.1, 0.9, generator=self._generator).data_ptr(), 0, None

    def _draw_result(self, k: int) -> Result | None:
        kind = {"e": ELEMENTS, "s": ROW_SUM, "d": None}[self._letters[1][k]]
        if kind is None:
            return None
        numel = self.shape[0] if kind == ROW_SUM else math.prod(self.shape)
        return Result(kind, self.allocate(numel, torch.float32), (True,))


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


def dense_problems(engine: ModuleType) -> Iterator[str]:
    """The same of dense launches."""
    for kernel in engine.kernels():
        if (kernel[0], kernel[2]) not in DENSE:
            continue
        for shape in DENSE_SHAPES:
            for seed, order in enumerate(ORDERS):
                launch = DenseLaunch(kernel, shape, seed)
                try:
                    run(engine, launch, order)
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


def problems_of_rows(engine: ModuleType) -> Iterator[str]:
    """What a function of rows of logits gets wrong, whether a warp takes a row or a block."""
    generator = torch.Generator().manual_seed(0)
    backend = cuda.backend_of(engine, lambda _: 0)
    for classes in (5, 300, 1500):
        logits, prior = torch.randn(2, 6, classes, generator=generator)
        call = Softmax(SoftmaxKernel.KL, (6, classes, 2), 0.01, logits, prior)
        want = torch.empty(3)
        cpu.BACKEND.softmax(call._replace(sums=want))
        for order in ORDERS:
            engine.set_order(*order)
            got = torch.empty(3)
            backend.softmax(call._replace(sums=got))
            if not torch.allclose(got, want, rtol=1e-5, atol=0.0):
                yield f"{classes} classes, {order}: got {got.tolist()}, want {want.tolist()}"


def main(path: str) -> None:
    engine = emulation.load(Path(path))
    for some_problems in (problems_of_mixtures, problems_of_rows, dense_problems):
        for problem in some_problems(engine):
            sys.exit(problem)
    for shape, row_dims in SHAPES:
        for in_double in (False, True):
            for problem in problems(engine, shape, row_dims, in_double, launches=9):
                sys.exit(problem)


if __name__ == "__main__":
    main(sys.argv[1])
