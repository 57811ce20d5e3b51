"""What is measured on a GPU: workloads with larger batches, and every operation by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from operations.operands import Shape

from bench.gpu.machine import Machine
from bench.harness.report import dtype_name
from bench.problems.families import OPS
from bench.problems.forms import distributions, eager
from bench.problems.providers import Provider, compiled, on_backend
from bench.problems.workloads import WORKLOADS, Workload, op_workload

#: Batches are larger by these factors, or by less where the memory is too small. 16 times W1 is
#: still so small that launches cost more than the work.
_FACTORS = (("W1", 16), ("W1", 512), ("W2", 16), ("W3", 16), ("W4", 16), ("W5", 16))

_LARGE_OP, _SMALL_OP = 2**26, 2**20

#: What a measurement holds at most, in units of the bytes that a step must move: several input
#: sets, an eager peer's intermediates, and a float64 evaluation.
_MEMORY_FACTOR = 5

_AUTOTUNE = "max-autotune-no-cudagraphs"


@dataclass(frozen=True)
class Table:
    """A workload and who computes it."""

    workload: Workload
    dtype: torch.dtype
    providers: tuple[Provider, ...]

    @property
    def name(self) -> str:
        return f"{self.workload.name} {dtype_name(self.dtype)}"


_EAGER = Provider("eager", "the usual formulas", eager.FORMS)
_COMPILED = (
    Provider("compile-eager", "torch.compile of eager", eager.FORMS, compiled()),
    Provider(
        "compile-distributions",
        "torch.compile of torch.distributions",
        distributions.FORMS,
        compiled(),
    ),
    Provider("compile-eager-autotuned", f"mode={_AUTOTUNE}", eager.FORMS, compiled(_AUTOTUNE)),
)


def tables(machine: Machine, *, quick: bool) -> list[Table]:
    """In order of importance: a budget that is spent cuts off the end."""
    return list(_quick_tables(machine) if quick else _all_tables(machine))


def _quick_tables(machine: Machine) -> Iterator[Table]:
    providers = _providers(machine, 1)
    for workload in (*_workloads(machine, torch.float32), *_ops(machine, _LARGE_OP)):
        yield Table(workload, torch.float32, providers)


def _all_tables(machine: Machine) -> Iterator[Table]:
    for dtype in (torch.float32, torch.bfloat16):
        for workload in _workloads(machine, dtype):
            yield Table(workload, dtype, _providers(machine, len(_COMPILED)))
        for workload in _ops(machine, _LARGE_OP):
            yield Table(workload, dtype, _providers(machine, 1))
    for workload in _ops(machine, _SMALL_OP):
        yield Table(workload, torch.float32, _providers(machine, 1))


def _providers(machine: Machine, n_compiled: int) -> tuple[Provider, ...]:
    """Compilers take minutes, and would show nothing in a dry run."""
    ours = [on_backend(name) for name in machine.backends]
    return (_EAGER, *(_COMPILED[:n_compiled] if machine.is_gpu else ()), *ours)


def _workloads(machine: Machine, dtype: torch.dtype) -> Iterator[Workload]:
    for name, factor in _FACTORS:
        workload = WORKLOADS[name]
        yield larger(workload, factor, machine, dtype) if machine.is_gpu else _toy(workload, factor)


def larger(workload: Workload, factor: int, machine: Machine, dtype: torch.dtype) -> Workload:
    """With a batch ``factor`` times as large, or less by powers of 2 to fit the memory."""
    while factor > 1:
        moved = workload.times_batch(factor).bytes_to_move(dtype) or 0
        if _MEMORY_FACTOR * moved <= machine.memory_bytes:
            break
        factor //= 2
    return workload.times_batch(factor)


def _ops(machine: Machine, elements: int) -> Iterator[Workload]:
    for op in OPS:
        yield op_workload(op, elements if machine.is_gpu else 64)


def _toy(workload: Workload, factor: int) -> Workload:
    """A dry run's."""

    def small(shape: Shape) -> Shape:
        return tuple(min(n, 4) for n in shape)

    return replace(
        workload,
        name=f"toy of {workload.name} x{factor}",
        latent=small(workload.latent),
        data=small(workload.data),
    )
