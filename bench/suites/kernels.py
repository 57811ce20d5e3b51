"""The kernels alone: preallocated outputs, no autograd, no allocator, hardly any Python."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.harness.bandwidth import uncached_sets
from bench.harness.measure import Effort
from bench.harness.report import Results, dtype_name, print_table, timing_columns
from bench.harness.timing import Call, HostClock, Timings, interleaved, rotating
from vaekern._backends import cpu, native
from vaekern._backends.launch import LogSumExp, Noise, PerDatapoint, launch

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
    scale: str = "logvar",
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


_BERNOULLI, _GAUSSIAN = "bernoulli_log_likelihood", "gaussian_log_likelihood"
_BERNOULLI_PROBS = "bernoulli_probs_log_likelihood"
_CONTINUOUS = "continuous_bernoulli_log_likelihood"
_LAPLACE, _STUDENT_T = "laplace_log_likelihood", "student_t_log_likelihood"
_DISCRETIZED = "discretized_logistic_log_likelihood"
_CATEGORICAL, _MULTINOMIAL = "categorical_log_likelihood", "multinomial_log_likelihood"
_POISSON, _NEGATIVE_BINOMIAL = "poisson_log_likelihood", "negative_binomial_log_likelihood"
_ZERO_INFLATED = "zero_inflated_negative_binomial_log_likelihood"
_KL, _PRIOR_KL, _SAMPLE = "standard_kl", "gaussian_kl", "reparameterize"
_SAMPLE_KL, _SAMPLE_PRIOR_KL = "sample_with_standard_kl", "sample_with_gaussian_kl"
_LOGITS_X = (_READ, _READ)
_MEAN_LOGVAR_X = (_READ, _SCALAR, _READ)
_LOCATED_DF_X = (_READ, _SCALAR, _SCALAR, _READ)
_POSTERIOR = (_READ, _READ)
_BOTH = (_READ, _READ, _READ, _READ)  # the prior's parameters, too
_TWO, _FOUR = (_WRITTEN,) * 2, (_WRITTEN,) * 4

CASES = (
    _kernel(_BERNOULLI, "value", _LOGITS_X, (_ROW,), scale=""),
    _kernel(_BERNOULLI, "vjp", (_ROW, *_LOGITS_X), (_WRITTEN, _NONE), scale=""),
    _kernel(_BERNOULLI, "value_and_vjp", (_WEIGHT, *_LOGITS_X), (_ROW, _WRITTEN, _NONE), scale=""),
    _kernel(_BERNOULLI_PROBS, "value", _LOGITS_X, (_ROW,), scale=""),
    _kernel(_BERNOULLI_PROBS, "vjp", (_ROW, *_LOGITS_X), (_WRITTEN, _NONE), scale=""),
    _kernel(_CONTINUOUS, "value", _LOGITS_X, (_ROW,), scale=""),
    _kernel(_CONTINUOUS, "vjp", (_ROW, *_LOGITS_X), (_WRITTEN, _NONE), scale=""),
    _kernel(_GAUSSIAN, "value", _MEAN_LOGVAR_X, (_ROW,)),
    _kernel(_GAUSSIAN, "vjp", (_ROW, *_MEAN_LOGVAR_X), (_WRITTEN, _SCALAR, _NONE)),
    _kernel(
        _GAUSSIAN, "value_and_vjp", (_WEIGHT, *_MEAN_LOGVAR_X), (_ROW, _WRITTEN, _SCALAR, _NONE)
    ),
    _kernel(_LAPLACE, "value", _MEAN_LOGVAR_X, (_ROW,), scale=""),
    _kernel(_LAPLACE, "vjp", (_ROW, *_MEAN_LOGVAR_X), (_WRITTEN, _SCALAR, _NONE), scale=""),
    _kernel(_STUDENT_T, "value", _LOCATED_DF_X, (_ROW,), scale=""),
    _kernel(
        _STUDENT_T, "vjp", (_ROW, *_LOCATED_DF_X), (_WRITTEN, _SCALAR, _SCALAR, _NONE), scale=""
    ),
    _kernel(_DISCRETIZED, "value", _MEAN_LOGVAR_X, (_ROW,), scale=""),
    _kernel(_DISCRETIZED, "vjp", (_ROW, *_MEAN_LOGVAR_X), (_WRITTEN, _SCALAR, _NONE), scale=""),
    _kernel(_CATEGORICAL, "value", (_READ,), (_LOG_SUM_EXP,), scale=""),
    _kernel(_CATEGORICAL, "vjp", (_ROW, _READ, _ROW, _ROW), (_WRITTEN,), scale=""),
    _kernel(_MULTINOMIAL, "value", _LOGITS_X, (_ROW, _ROW, _LOG_SUM_EXP), scale=""),
    _kernel(_MULTINOMIAL, "vjp", (_ROW, _ROW, *_LOGITS_X, _ROW, _ROW), (_WRITTEN, _NONE), scale=""),
    _kernel(_POISSON, "value", _LOGITS_X, (_ROW,), scale=""),
    _kernel(_POISSON, "vjp", (_ROW, *_LOGITS_X), (_WRITTEN, _NONE), scale=""),
    _kernel(_NEGATIVE_BINOMIAL, "value", _MEAN_LOGVAR_X, (_ROW,), scale=""),
    _kernel(
        _NEGATIVE_BINOMIAL, "vjp", (_ROW, *_MEAN_LOGVAR_X), (_WRITTEN, _SCALAR, _NONE), scale=""
    ),
    _kernel(_ZERO_INFLATED, "value", _LOCATED_DF_X, (_ROW,), scale=""),
    _kernel(
        _ZERO_INFLATED, "vjp", (_ROW, *_LOCATED_DF_X), (_WRITTEN, _SCALAR, _SCALAR, _NONE), scale=""
    ),
    _kernel(_KL, "value", _POSTERIOR, (_ROW,)),
    _kernel(_KL, "vjp", (_ROW, *_POSTERIOR), _TWO),
    _kernel(_KL, "value_and_vjp", (_WEIGHT, *_POSTERIOR), (_ROW, *_TWO)),
    _kernel(_PRIOR_KL, "value", _BOTH, (_ROW,)),
    _kernel(_PRIOR_KL, "vjp", (_ROW, *_BOTH), _FOUR),
    _kernel(_SAMPLE, "value", (*_POSTERIOR, _NOISE), (_WRITTEN,)),
    _kernel(_SAMPLE, "vjp", (_READ, _READ, _NOISE), (_WRITTEN, _NONE)),
    _kernel(_SAMPLE_KL, "value", (*_POSTERIOR, _NOISE), (_WRITTEN, _ROW)),
    _kernel(_SAMPLE_KL, "vjp", (_READ, _ROW, *_POSTERIOR, _NOISE), (*_TWO, _NONE)),
    _kernel(_SAMPLE_PRIOR_KL, "value", (*_BOTH, _NOISE), (_WRITTEN, _ROW)),
    _kernel(_SAMPLE_PRIOR_KL, "vjp", (_READ, _ROW, *_BOTH, _NOISE), (*_FOUR, _NONE)),
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
