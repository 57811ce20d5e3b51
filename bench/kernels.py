"""The kernels alone: preallocated outputs, no autograd, no allocator, hardly any Python."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.bandwidth import uncached_sets
from bench.report import Results, print_table
from bench.steps import result_row
from bench.timing import Call, Timing, interleaved, rotating
from vaekern import _native
from vaekern._native import Noise, PerDatapoint, launch

_SHAPE = torch.Size((512, 3136))
_NUMEL = math.prod(_SHAPE)
_FEWEST_SETS, _MOST_STREAMS = 6, 5


class _Buffers:
    """Full-size tensors for any number of calls: apart to read and to write, so that no call
    changes what another one reads, and each kind enough to leave the caches before it is reused."""

    def __init__(self) -> None:
        count = max(_FEWEST_SETS * _MOST_STREAMS, uncached_sets(_NUMEL * 4))
        self._read, self._written = (
            itertools.cycle([torch.rand(_SHAPE) for _ in range(count)]) for _ in range(2)
        )

    def read(self) -> Tensor:
        return next(self._read)

    def written(self) -> Tensor:
        return next(self._written)


@dataclass(frozen=True)
class _Operand:
    """Makes one input or output of a kernel; ``streams`` counts its full-size memory traffic."""

    make: Callable[[_Buffers], object]
    streams: int = 0


_READ = _Operand(_Buffers.read, streams=1)
_WRITTEN = _Operand(_Buffers.written, streams=1)
_ROW = _Operand(lambda _: PerDatapoint(torch.rand(_SHAPE[:1])))
_SCALAR = _Operand(lambda _: torch.rand(()))
_WEIGHT = _Operand(lambda _: -1.0 / _SHAPE[0])
_NOISE = _Operand(lambda _: Noise(torch.randint(2**62, (2,))))
_NONE = _Operand(lambda _: None)


@dataclass(frozen=True)
class Case:
    """A call whose buffers can be made any number of times."""

    name: str
    streams: int
    make: Callable[[_Buffers], Call]


def _kernel(
    op: str,
    variant: str,
    inputs: Sequence[_Operand],
    outputs: Sequence[_Operand],
    scale: str = "logvar",
) -> Case:
    def make(buffers: _Buffers) -> Call:
        sources = [operand.make(buffers) for operand in inputs]
        results = [operand.make(buffers) for operand in outputs]
        return lambda: launch((op, scale, variant), _SHAPE, 1, sources, results)

    streams = sum(operand.streams for operand in (*inputs, *outputs))
    return Case(f"{op} {variant}", streams, make)


def _torch(name: str, streams: int, call: Callable[..., object]) -> Case:
    """``call`` takes the tensor that it writes, then those that it reads."""

    def make(buffers: _Buffers) -> Call:
        tensors = [buffers.written(), *[buffers.read() for _ in range(streams - 1)]]
        return lambda: call(*tensors)

    return Case(name, streams, make)


_BERNOULLI, _GAUSSIAN = "bernoulli_log_likelihood", "gaussian_log_likelihood"
_SAMPLE, _SAMPLE_KL = "reparameterize", "sample_with_standard_kl"
_MEAN_LOGVAR_X = (_READ, _SCALAR, _READ)

CASES = (
    _kernel(_BERNOULLI, "value", (_READ, _READ), (_ROW,), scale=""),
    _kernel(_BERNOULLI, "vjp", (_ROW, _READ, _READ), (_WRITTEN, _NONE), scale=""),
    _kernel(
        _BERNOULLI, "value_and_vjp", (_WEIGHT, _READ, _READ), (_ROW, _WRITTEN, _NONE), scale=""
    ),
    _kernel(_GAUSSIAN, "value", _MEAN_LOGVAR_X, (_ROW,)),
    _kernel(_GAUSSIAN, "vjp", (_ROW, *_MEAN_LOGVAR_X), (_WRITTEN, _SCALAR, _NONE)),
    _kernel(
        _GAUSSIAN, "value_and_vjp", (_WEIGHT, *_MEAN_LOGVAR_X), (_ROW, _WRITTEN, _SCALAR, _NONE)
    ),
    _kernel(_SAMPLE, "value", (_READ, _READ, _NOISE), (_WRITTEN,)),
    _kernel(_SAMPLE, "vjp", (_READ, _READ, _NOISE), (_WRITTEN, _NONE)),
    _kernel(_SAMPLE_KL, "value", (_READ, _READ, _NOISE), (_WRITTEN, _ROW)),
    _kernel(_SAMPLE_KL, "vjp", (_READ, _ROW, _READ, _READ, _NOISE), (_WRITTEN, _WRITTEN, _NONE)),
    _torch("torch.randn(out=)", 1, lambda out: torch.randn(_SHAPE, out=out)),
    _torch("copy_", 2, lambda out, a: out.copy_(a)),
    _torch("add(out=)", 3, lambda out, a, b: torch.add(a, b, out=out)),
)


def run(rounds: int, seconds: float, results: Results) -> None:
    """Every case with every usable instruction set, with cached and with uncached buffers."""
    assert _native.core is not None
    before = _native.core.isa()
    try:
        for isa in _native.core.usable_isas():
            _native.core.use_isa(isa)
            print(f"\n{isa}, {torch.get_num_threads()} threads, {_SHAPE[0]}x{_SHAPE[1]} float32")
            _run_all(rounds, seconds, results)
    finally:
        _native.core.use_isa(before)


def _run_all(rounds: int, seconds: float, results: Results) -> None:
    buffers = _Buffers()
    one_set = {case.name: case.make(buffers) for case in CASES}
    many_sets = {case.name: _uncached(case, buffers) for case in CASES}
    cached = interleaved(one_set, rounds, seconds, lead_in=True)
    uncached = interleaved(many_sets, rounds, seconds)
    rows = []
    for case in CASES:
        rows.append([case.name, *_cells(case, cached), *_cells(case, uncached)])
        for label, timings in (("cached", cached), ("uncached", uncached)):
            workload = f"kernel, {label}"
            bytes_moved = case.streams * _NUMEL * 4
            results.add(
                result_row(workload, torch.float32, case.name, timings[case.name], bytes_moved)
            )
    columns = ["ms", "M/s", "GB/s"]
    print_table(
        ["kernel", *[f"cached {c}" for c in columns], *[f"uncached {c}" for c in columns]], rows
    )


def _uncached(case: Case, buffers: _Buffers) -> Call:
    sets = uncached_sets(case.streams * _NUMEL * 4, at_least=_FEWEST_SETS)
    return rotating([case.make(buffers) for _ in range(sets)])


def _cells(case: Case, timings: dict[str, Timing]) -> list[str]:
    seconds = timings[case.name].median
    elements = _NUMEL / seconds
    return [
        f"{seconds * 1e3:.3f}",
        f"{elements / 1e6:.0f}",
        f"{elements * case.streams * 4e-9:.1f}",
    ]
