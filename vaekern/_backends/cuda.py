"""The CUDA backend: compiled kernels on the memory of CUDA tensors, on the current stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vaekern._backends.launch import (
    Backend,
    Kernel,
    Mixture,
    Noise,
    Output,
    PerDatapoint,
    Softmax,
    Source,
    empty_contiguous,
)
from vaekern._backends.native import (
    KERNELS,
    core,
    describe_input,
    describe_mixture,
    describe_output,
    describe_softmax,
    describe_whole,
)
from vaekern._torch import current_cuda_stream


def backend_of(module: Any, stream_of: Callable[[int], int]) -> Backend:
    """The backend that hands launches to a compiled module: the installed one, or its emulation
    in the tests."""

    def run(
        kernel: Kernel,
        in_double: bool,
        shape: torch.Size,
        row_dims: int,
        inputs: Sequence[Source],
        outputs: Sequence[Output | None],
    ) -> None:
        device = _device_of(inputs)
        index = device.index or 0
        allocate = _Workspace(device)
        module.run_cuda(
            *KERNELS[kernel],
            in_double,
            shape,
            row_dims,
            tuple([describe_input(source, shape) for source in inputs]),
            tuple([describe_output(output) for output in outputs]),
            index,
            stream_of(index),
            allocate,
        )

    def mixture(call: Mixture, upstream: Tensor | None, out: Tensor) -> None:
        index = out.device.index or 0
        allocate = _Workspace(out.device)
        described = describe_mixture(call, upstream, out)
        module.run_mixture_cuda(*described, index, stream_of(index), allocate)

    def softmax(call: Softmax) -> None:
        index = call.logits.device.index or 0
        allocate = _Workspace(call.logits.device)
        module.run_softmax_cuda(*describe_softmax(call), index, stream_of(index), allocate)

    def scale(tensors: Sequence[Tensor], factor: Tensor) -> None:
        index = factor.device.index or 0
        module.scale_cuda(
            tuple([describe_whole(tensor) for tensor in tensors]),
            describe_whole(factor),
            index,
            stream_of(index),
        )

    runners = getattr(module, "cuda_runners", None)
    return Backend(run, empty_contiguous, scale, mixture, softmax, runners)


class _Workspace:
    """Memory for a launch, kept until it is queued: the stream orders reuse."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.kept: list[Tensor] = []

    def __call__(self, bytes_: int) -> int:
        self.kept.append(torch.empty(bytes_, dtype=torch.uint8, device=self.device))
        return self.kept[-1].data_ptr()


def _device_of(inputs: Sequence[Source]) -> torch.device:
    for source in inputs:
        if isinstance(source, Tensor):
            return source.device
        if isinstance(source, Noise):
            return source.seed.device
        if isinstance(source, PerDatapoint):
            return source.tensor.device
    raise AssertionError("a launch without tensors")


BACKEND = backend_of(core, current_cuda_stream)
