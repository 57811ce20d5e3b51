"""Partial sums, and the launches that add them up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from vaekern._backends.launch import ROW_LOG_SUM_EXP
from vaekern._backends.triton.loops import add_up
from vaekern._backends.triton.plan import AddUp
from vaekern._backends.triton.prepared import Launch, index_type


class Step(NamedTuple):
    launch: Launch
    further: int  # partial sums that it makes; 0: the sums


Steps: TypeAlias = tuple[Step, ...]


def prepare_sums(steps: Sequence[AddUp], kind: int, wide_index: bool) -> Steps:
    """Of an output that is of a ``kind``."""
    return tuple([_prepare_step(step, kind, wide_index) for step in steps])


def _prepare_step(step: AddUp, kind: int, wide_index: bool) -> Step:
    launch = Launch(
        add_up,
        step.programs,
        (
            step.kept.sizes[1:],
            step.kept.strides[0],
            step.summed.sizes[1:],
            step.summed.strides[0],
            step.n_kept,
            step.n_summed,
            step.chunk,
        ),
        {
            "N": step.n_block,
            "S": step.s_block,
            "INDEX": index_type(wide_index),
            "LOG_SUM_EXP": kind == ROW_LOG_SUM_EXP,
        },
    )
    return Step(launch, step.n_kept * step.splits if step.splits > 1 else 0)


def memory_for_sums(n: int, device: torch.device) -> Tensor:
    """For partial sums, at an address that 16 divides, as is compiled into their kernels: any
    allocator known gives such, but none need."""
    memory = torch.empty(n, dtype=torch.float64, device=device)
    if memory.data_ptr() % 16:
        memory = torch.empty(n + 1, dtype=torch.float64, device=device)
        memory = memory[1:] if memory.data_ptr() % 16 else memory[:n]
    return memory


def sum_up(steps: Steps, partial: Tensor, output: Tensor) -> None:
    for launch, further in steps:
        sums = memory_for_sums(further, partial.device) if further else output
        launch(partial, sums)
        partial = sums
