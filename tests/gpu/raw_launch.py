"""Launches as the extension's bindings read them, on memory between guard zones.

For tests of an engine itself: any kernel, any rows and columns, any mixture of dtypes, layouts and
kinds of results, compared with the CPU engine's elements, which are then summed in float64.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType

import torch
from torch import Tensor

from vaekern._backends.native import SERVED, core

#: By their numbers in the bindings.
DTYPES = (
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.uint8,
    torch.bool,
)
ELEMENTS, ROW_SUM, COLUMN_SUM, ROW_LOG_SUM_EXP = 0, 1, 2, 4
#: Of which result of a kernel log sum exp may be taken.
LOG_SUM_EXP = {
    ("categorical_log_likelihood", "", "value"): 0,
    ("multinomial_log_likelihood", "", "value"): 2,
}

_GUARD = 8 << 10  # bytes: more than the threads of a block write at a time
_ULPS = 16  # of a sum's terms, or of an element: see compare.py

Kernel = tuple[str, str, str, int, int]  # op, scale, variant, how many inputs and outputs


class Memory:
    """A flat tensor between zones that hold NaN and must not change. ``shift``: by how many
    elements it is off the alignment that fresh memory has."""

    def __init__(self, numel: int, dtype: torch.dtype, shift: int = 0) -> None:
        first = _GUARD + shift * dtype.itemsize
        end = first + numel * dtype.itemsize
        everything = torch.full((end + _GUARD,), 0xFF, dtype=torch.uint8)
        self._zones = everything[:first], everything[end:]
        self.tensor = everything[first:end].view(dtype)

    def intact(self) -> bool:
        return all(bool((zone == 0xFF).all()) for zone in self._zones)


@dataclass
class Result:
    """One output: its kind, and which row dimensions a row sum keeps apart."""

    kind: int
    tensor: Tensor
    kept: tuple[bool, ...] = ()

    def want(self, elements: Tensor, row_dims: int) -> Tensor:
        """From the elements in the launch's shape."""
        summed: list[int] = []
        if self.kind == COLUMN_SUM:
            summed = list(range(row_dims))
        if self.kind in (ROW_SUM, ROW_LOG_SUM_EXP):
            summed = [d for d in range(elements.dim()) if d >= row_dims or not self.kept[d]]
        if self.kind == ROW_LOG_SUM_EXP:
            return (elements.logsumexp(summed) if summed else elements).flatten()
        return (elements.sum(summed) if summed else elements).flatten()


@dataclass
class Launch:
    """A launch with everything about it drawn at random, from a seed."""

    kernel: Kernel
    in_double: bool
    shape: tuple[int, ...]
    row_dims: int
    seed: int
    memory: list[Memory] = field(default_factory=list)
    inputs: tuple[object, ...] = ()
    results: list[Result | None] = field(default_factory=list)
    scale: str = ""  # of those that the kernel serves
    factor: float = 1.0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._generator = torch.Generator().manual_seed(self.seed)
        factors = SERVED[self.kernel[1]]
        self.scale = list(factors)[self.seed % len(factors)]
        self.factor = factors[self.scale]
        noise = self._random.random() < 0.3  # the last input, as in every operation that has noise
        self.inputs = tuple(
            [self._draw_input(noise and k == self.kernel[3] - 1) for k in range(self.kernel[3])]
        )
        self.results = [self._draw_result(k) for k in range(self.kernel[4])]
        if self._random.random() < 0.5:
            self.inputs = (*self.inputs, self._draw_mask())

    @property
    def wide(self) -> torch.dtype:
        return torch.float64 if self.in_double else torch.float32

    def allocate(self, numel: int, dtype: torch.dtype, shift: int = 0) -> Tensor:
        self.memory.append(Memory(numel, dtype, shift))
        return self.memory[-1].tensor

    @property
    def written(self) -> list[Result]:
        return [result for result in self.results if result is not None]

    def workspace(self, n_bytes: int) -> int:
        """What a launch calls for memory for partial sums."""
        return self.allocate(n_bytes, torch.uint8).data_ptr()

    def outputs(self) -> tuple[object, ...]:
        return tuple([None if r is None else self._spec(r) for r in self.results])

    def arguments(self, module: ModuleType) -> tuple[object, ...]:
        """As a module's ``run`` and ``run_cuda`` begin."""
        number = module.kernels().index(self.kernel)
        how = number, self.factor, self.in_double, self.shape, self.row_dims
        return *how, self.inputs, self.outputs()

    def check(self) -> None:
        """That the results are right and nothing else was written."""
        assert all(memory.intact() for memory in self.memory), "wrote outside of its memory"
        for k, (result, elements) in enumerate(zip(self.results, self._elements(), strict=True)):
            if result is None:
                continue
            got, want = result.tensor, result.want(elements, self.row_dims)
            # An error of log sum exp is a relative one of the sum.
            is_sum = result.kind != ROW_LOG_SUM_EXP
            terms = result.want(elements.abs(), self.row_dims) if is_sum else 1.0
            bad = _wrong(got, want, terms, self.wide)
            assert not bool(bad.any()), (
                f"{self.kernel[:3]}, {self.shape}, {self.row_dims} row dimensions, seed "
                f"{self.seed}, output {k} of kind {result.kind}: {int(bad.sum())} of {bad.numel()} "
                f"wrong, first at {int(bad.nonzero()[0])}: got {got[bad][0].item()!r}, want "
                f"{want[bad][0].item()!r}"
            )

    def _elements(self) -> list[Tensor]:
        """The CPU engine's, in float64."""
        tensors = [torch.empty(self.shape, dtype=self.wide) for _ in self.results]
        specs = tuple([self._spec(Result(ELEMENTS, tensor)) for tensor in tensors])
        assert core is not None
        *launch, _ = self.arguments(core)
        core.run(*launch, specs, 1)
        return [tensor.double() for tensor in tensors]

    def _spec(self, result: Result) -> object:
        tensor = result.tensor
        strides = None
        if result.kind in (ROW_SUM, ROW_LOG_SUM_EXP) and not all(result.kept):
            strides = _strides(self.shape[: self.row_dims], result.kept, range(self.row_dims))
        return result.kind, tensor.data_ptr(), DTYPES.index(tensor.dtype), tensor.numel(), strides

    def _draw_input(self, is_noise: bool) -> object:
        if is_noise:
            seed = self.allocate(2, torch.int64)
            seed.copy_(torch.randint(-(2**63), 2**63 - 1, (2,), generator=self._generator))
            return (seed.data_ptr(),)
        if self._random.random() < 0.1:
            return self._random.uniform(0.1, 0.9)
        numel, strides = self._draw_layout()
        tensor = self._draw_numbers(numel)
        return tensor.data_ptr(), DTYPES.index(tensor.dtype), strides

    def _draw_mask(self) -> object:
        numel, strides = self._draw_layout()
        tensor = self.allocate(numel, torch.bool, self._random.choice((0, 0, 1, 4)))
        tensor.copy_(torch.rand(numel, generator=self._generator) < 0.6)
        return tensor.data_ptr(), DTYPES.index(torch.bool), strides

    def _draw_layout(self) -> tuple[int, list[int] | None]:
        """How many numbers an input has in memory, and its strides: None if it is dense."""
        order, step = list(range(len(self.shape))), 1
        kept = tuple(True for _ in self.shape)
        dense = self._random.random() < 0.5
        if not dense:
            self._random.shuffle(order)
            step = self._random.choice((1, 1, 2))
            kept = tuple(self._random.random() < 0.6 for _ in self.shape)
        strides = [step * stride for stride in _strides(self.shape, kept, order)]
        return step * _numel(self.shape, kept), None if dense else strides

    def _draw_numbers(self, numel: int) -> Tensor:
        """Such as every argument of every operation may be: positive, and not above 1."""
        dtypes = [t for t in DTYPES if t is not torch.float64 or self.in_double]
        if self.kernel[1] == "std":
            dtypes.remove(torch.bool)  # a standard deviation of 0
        tensor = self.allocate(
            numel, self._random.choice(dtypes), self._random.choice((0, 0, 1, 3))
        )
        if tensor.dtype is torch.bool:
            return tensor.copy_(torch.rand(numel, generator=self._generator) < 0.5)
        if tensor.dtype is torch.uint8:
            return tensor.random_(1, 256, generator=self._generator)
        numbers = torch.rand(numel, generator=self._generator, dtype=torch.float64)
        return tensor.copy_(0.1 + 0.8 * numbers)

    def _draw_result(self, k: int) -> Result | None:
        kind = self._random.choice((None, ELEMENTS, ELEMENTS, ROW_SUM, ROW_SUM, COLUMN_SUM))
        if LOG_SUM_EXP.get(self.kernel[:3]) == k and self._random.random() < 0.7:
            kind = ROW_LOG_SUM_EXP
        if kind is None:
            return None
        rows = self.shape[: self.row_dims]
        kept = tuple(True for _ in rows)
        numel = math.prod(self.shape)
        if kind in (ROW_SUM, ROW_LOG_SUM_EXP):
            if self._random.random() < 0.4:
                kept = tuple(self._random.random() < 0.5 for _ in rows)
            numel = _numel(rows, kept)
        if kind == COLUMN_SUM:
            numel = math.prod(self.shape[self.row_dims :])
        floats = DTYPES[:4] if self.in_double else (DTYPES[0], *DTYPES[2:4])
        shift = self._random.choice((0, 0, 1, 3))
        return Result(kind, self.allocate(numel, self._random.choice(floats), shift), kept)


def _wrong(got: Tensor, want: Tensor, terms: Tensor | float, wide: torch.dtype) -> Tensor:
    """Which numbers are too far off. ``terms``: the sum of the terms' magnitudes."""
    stored = torch.finfo(got.dtype)
    allowed = _ULPS * torch.finfo(wide).eps * terms + stored.eps * want.abs()
    allowed += stored.eps * stored.smallest_normal
    got = got.double()
    same = (got == want) | (got.isnan() & want.isnan())
    overflow = got.isinf() & (want.abs() > stored.max)
    return ~(same | overflow | ((got - want).abs() <= allowed))


def _numel(shape: Sequence[int], kept: Sequence[bool]) -> int:
    return math.prod(n for n, keep in zip(shape, kept, strict=True) if keep)


def _strides(shape: Sequence[int], kept: Sequence[bool], order: Sequence[int]) -> list[int]:
    """Of a dense tensor of the dimensions that are kept, in that order in memory; 0 for others."""
    strides, step = [0] * len(shape), 1
    for d in reversed(order):
        if kept[d]:
            strides[d] = step
            step *= shape[d]
    return strides
