"""The CUDA backend: compiled kernels on the memory of CUDA tensors, on the current stream."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vaekern._compat import current_cuda_stream
from vaekern._launch import Kernel, Noise, Output, PerDatapoint, Source
from vaekern._native import KERNELS, core, describe_input, describe_output


def run(
    kernel: Kernel,
    in_double: bool,
    shape: torch.Size,
    row_dims: int,
    inputs: Sequence[Source],
    outputs: Sequence[Output | None],
) -> None:
    assert core is not None
    device = _device_of(inputs)
    workspace: list[Tensor] = []  # alive until the launch is queued; then the stream orders reuse

    def allocate(bytes_: int) -> int:
        workspace.append(torch.empty(bytes_, dtype=torch.uint8, device=device))
        return workspace[-1].data_ptr()

    core.run_cuda(
        KERNELS[kernel],
        in_double,
        shape,
        row_dims,
        tuple([describe_input(source, shape) for source in inputs]),
        tuple([describe_output(output) for output in outputs]),
        device.index,
        current_cuda_stream(device.index),
        allocate,
    )


def _device_of(inputs: Sequence[Source]) -> torch.device:
    for source in inputs:
        if isinstance(source, Tensor):
            return source.device
        if isinstance(source, Noise):
            return source.seed.device
        if isinstance(source, PerDatapoint):
            return source.tensor.device
    raise AssertionError("a launch without tensors")
