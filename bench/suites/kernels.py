"""The kernels alone: preallocated outputs, no autograd, no allocator, hardly any Python."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from operations.every import DESCRIPTIONS
from operations.operands import Operand
from torch import Tensor

from bench.harness.bandwidth import uncached_sets
from bench.harness.measure import Effort
from bench.harness.report import Results, dtype_name, print_table, timing_columns
from bench.harness.timing import Call, HostClock, Timings, interleaved, rotating
from vaekern._backends import cpu, native
from vaekern._backends.launch import LogSumExp, Noise, PerDatapoint, launch
from vaekern._ops.base import ELEMENT
from vaekern._ops.elementwise import Op
from vaekern._ops.table import OPS as TABLE

SHAPE = (512, 3136)

_FEWEST_SETS, _MOST_STREAMS = 6, 5  # a kernel reads or writes so many at most


class _Buffers:
    """Full-size tensors for any number of calls: apart to read and to write, so that no call
    changes what another one reads, and each kind enough to leave the caches before it is reused."""

    def __init__(self, shape: torch.Size) -> None:
        self.shape = shape
        count = max(_FEWEST_SETS * _MOST_STREAMS, uncached_sets(shape.numel() * 4))
        self._read, self._written = (
            itertools.cycle([torch.rand(shape) for _ in range(count)]) for _ in range(2)
        )

    def read(self) -> Tensor:
        return next(self._read)

    def written(self) -> Tensor:
        return next(self._written)


@dataclass(frozen=True)
class _Operand:
    """Makes one input or output of a kernel; ``streams`` counts its full-size memory traffic."""

    make: Callable[[_Buffers], Any]
    streams: int = 0


_READ = _Operand(_Buffers.read, streams=1)
_WRITTEN = _Operand(_Buffers.written, streams=1)
_ROW = _Operand(lambda buffers: PerDatapoint(torch.rand(buffers.shape[:1])))
_LOG_SUM_EXP = _Operand(
    lambda buffers: LogSumExp(torch.rand(buffers.shape[:1], dtype=torch.float64))
)
_SCALAR = _Operand(lambda _: torch.rand(()))
_WEIGHT = _Operand(lambda buffers: -1.0 / buffers.shape[0])
_NOISE = _Operand(lambda _: Noise(torch.randint(2**62, (2,))))
_NONE = _Operand(lambda _: None)


@dataclass(frozen=True)
class Case:
    """A call whose buffers can be made any number of times."""

    name: str
    op: str
    streams: int
    make: Callable[[_Buffers], Call]


def _kernel(
    op: str,
    variant: str,
    inputs: Sequence[_Operand],
    outputs: Sequence[_Operand],
    scale: str,
) -> Case:
    def make(buffers: _Buffers) -> Call:
        sources = [operand.make(buffers) for operand in inputs]
        results = [operand.make(buffers) for operand in outputs]
        kernel = (op, scale, variant)
        return lambda: launch(cpu.BACKEND, kernel, buffers.shape, 1, sources, results)

    streams = sum(operand.streams for operand in (*inputs, *outputs))
    return Case(f"{op} {variant}", op, streams, make)


def _torch(name: str, streams: int, call: Callable[..., object]) -> Case:
    """``call`` takes the tensor that it writes, then those that it reads."""

    def make(buffers: _Buffers) -> Call:
        tensors = [buffers.written(), *[buffers.read() for _ in range(streams - 1)]]
        return lambda: call(*tensors)

    return Case(name, "", streams, make)


def _of_op(op: Op) -> Iterator[Case]:
    """Its kernels for float32 of full size, but for parameters that all elements share, as it is
    measured everywhere: no gradient of data is wanted."""
    operands = {operand.name: operand for operand in DESCRIPTIONS[op.name].operands}
    inputs = [_input(operands.get(name)) for name in op.inputs]
    read = [inputs[k] for k in op.vjp_inputs]
    results = [_WRITTEN if kind is ELEMENT else _ROW for kind in op.results]
    upstream = [_READ if kind is ELEMENT else _ROW for kind in op.results]
    found = [_gradient(operands.get(op.inputs[k])) for k in op.vjp_inputs]
    told = [_constant(number) for number in op.told(*[0.5 for _ in op.numbers])]
    inputs, read = [*inputs, *told], [*read, *told]
    scale = "logvar" if op.scaled else ""
    yield _kernel(op.name, "value", inputs, results, scale)
    yield _kernel(op.name, "vjp", [*upstream, *read], found, scale)
    if (op.name, scale, "value_and_vjp") in native.KERNELS:
        yield _kernel(op.name, "value_and_vjp", [_WEIGHT, *inputs], [*results, *found], scale)


def _constant(number: float) -> _Operand:
    return _Operand(lambda _: number)


def _input(operand: Operand | None) -> _Operand:
    if operand is None:
        return _NOISE
    return _READ if operand.is_full else _SCALAR


def _gradient(operand: Operand | None) -> _Operand:
    if operand is None or not operand.is_leaf:
        return _NONE
    return _WRITTEN if operand.is_full else _SCALAR


def _of_rows() -> Iterator[Case]:
    """What the operations with log sum exp of rows launch: see ``vaekern/_ops/rows.py``."""
    name = "categorical_log_likelihood"
    yield _kernel(name, "value", [_READ], [_LOG_SUM_EXP], "")
    yield _kernel(name, "vjp", [_ROW, _READ, _ROW, _ROW], [_WRITTEN], "")
    name = "multinomial_log_likelihood"
    yield _kernel(name, "value", [_READ, _READ], [_ROW, _ROW, _LOG_SUM_EXP], "")
    yield _kernel(name, "vjp", [_ROW, _ROW, _READ, _READ, _ROW, _ROW], [_WRITTEN, _NONE], "")


CASES = (
    *[case for op in TABLE if not op.kept for case in _of_op(op)],
    *_of_rows(),
    _torch("torch.randn(out=)", 1, lambda out: torch.randn(out.shape, out=out)),
    _torch("copy_", 2, lambda out, a: out.copy_(a)),
    _torch("add(out=)", 3, lambda out, a, b: torch.add(a, b, out=out)),
)


def run(ops: Sequence[str], shape: Sequence[int], effort: Effort, results: Results) -> None:
    """Every case of these operations with every usable instruction set, with cached and with
    uncached buffers."""
    assert native.core is not None
    cases = [case for case in CASES if case.op in ("", *ops)]
    before = native.core.isa()
    try:
        for isa in native.core.usable_isas():
            native.core.use_isa(isa)
            sizes = "x".join(map(str, shape))
            print(f"\n{isa}, {torch.get_num_threads()} threads, {sizes} float32")
            _run_all(cases, torch.Size(shape), effort, results)
    finally:
        native.core.use_isa(before)


def _run_all(cases: Sequence[Case], shape: torch.Size, effort: Effort, results: Results) -> None:
    buffers = _Buffers(shape)
    one_set = {case.name: case.make(buffers) for case in cases}
    many_sets = {case.name: _uncached(case, buffers) for case in cases}
    cached = interleaved(one_set, effort.rounds, effort.seconds, HostClock(lead_in=True))
    uncached = interleaved(many_sets, effort.rounds, effort.seconds)
    rows = []
    for case in cases:
        numel = shape.numel()
        cells = [*_cells(case, numel, cached), *_cells(case, numel, uncached)]
        rows.append([case.name, *cells])
        for label, timings in (("cached", cached), ("uncached", uncached)):
            what = {"workload": f"kernel, {label}", "dtype": dtype_name(torch.float32)}
            moved = _bytes_moved(case, numel)
            columns = timing_columns(timings[case.name]["both"], moved)
            results.add(what | {"provider": case.name} | columns)
    units = ["ms", "M/s", "GB/s"]
    print_table(
        ["kernel", *[f"cached {u}" for u in units], *[f"uncached {u}" for u in units]], rows
    )


def _bytes_moved(case: Case, numel: int) -> int:
    return case.streams * numel * torch.float32.itemsize


def _uncached(case: Case, buffers: _Buffers) -> Call:
    sets = uncached_sets(_bytes_moved(case, buffers.shape.numel()), at_least=_FEWEST_SETS)
    return rotating([case.make(buffers) for _ in range(sets)])


def _cells(case: Case, numel: int, timings: dict[str, Timings]) -> list[str]:
    seconds = timings[case.name]["both"].median
    return [
        f"{seconds * 1e3:.3f}",
        f"{numel / seconds / 1e6:.0f}",
        f"{_bytes_moved(case, numel) / seconds * 1e-9:.1f}",
    ]
