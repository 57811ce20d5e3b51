"""The CPU backend: compiled kernels on the memory of CPU tensors."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor

from vaekern._backends.launch import (
    Backend,
    Kernel,
    Mixture,
    Output,
    Softmax,
    Source,
    empty_contiguous,
)
from vaekern._backends.native import (
    DTYPES,
    KERNELS,
    core,
    describe_input,
    describe_mixture,
    describe_output,
    describe_softmax,
)
from vaekern._torch import from_dlpack, profiler_active

_POOLED = 2 << 20

_forked = False


def _after_fork() -> None:
    # OpenMP's threads do not exist in a forked child, and its runtime would wait for them.
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def threads_for(numel: int) -> int:
    """How many threads to use: torch's number, fewer where the work is not worth them."""
    if _forked:
        return 1
    return max(1, min(torch.get_num_threads(), numel // 16384))


def new_contiguous(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """For a result: contiguous, of the shape of an ordinary CPU tensor. Large ones come from a
    pool, since fresh memory costs more than computing what goes there; not where a profiler wants
    to see torch's allocator at work."""
    if tensor.numel() * dtype.itemsize < _POOLED or core is None or profiler_active():
        return empty_contiguous(tensor, dtype)
    return from_dlpack(core.pooled(tensor.shape, DTYPES[dtype]))


def run(
    kernel: Kernel,
    in_double: bool,
    shape: torch.Size,
    row_dims: int,
    inputs: Sequence[Source],
    outputs: Sequence[Output | None],
) -> None:
    assert core is not None
    core.run(
        *KERNELS[kernel],
        in_double,
        shape,
        row_dims,
        tuple([describe_input(source, shape) for source in inputs]),
        tuple([describe_output(output) for output in outputs]),
        threads_for(shape.numel()),
    )


def scale(tensors: Sequence[Tensor], factor: Tensor) -> None:
    if factor.item() != 1.0:
        for tensor in tensors:
            tensor.mul_(factor)


def mixture(call: Mixture, upstream: Tensor | None, out: Tensor) -> None:
    assert core is not None
    threads = threads_for(call.params.numel())
    core.run_mixture(*describe_mixture(call, upstream, out), threads)


def softmax(call: Softmax) -> None:
    assert core is not None
    core.run_softmax(*describe_softmax(call), threads_for(call.logits.numel()))


BACKEND = Backend(run, new_contiguous, scale, mixture, softmax)
