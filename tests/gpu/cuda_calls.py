"""Launches on devices that only a stand-in for CUDA's runtime has: their memory is the host's."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch

from vaekern._backends import cuda, native
from vaekern._backends.launch import Mixture, Output

KERNEL = ("standard_kl", "logvar", "value")


class OnDevice(torch.Tensor):
    """Says that it is on a device, and where it is in the memory of another tensor."""

    memory: torch.Tensor

    @staticmethod
    def of(memory: torch.Tensor, device: str) -> OnDevice:
        found: OnDevice = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            OnDevice, memory.shape, strides=memory.stride(), dtype=memory.dtype, device=device
        )
        found.memory = memory
        return found

    def data_ptr(self) -> int:
        return self.memory.data_ptr()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError(func)


def run(engine: ModuleType, device: str = "cuda:1", stream: int = 0) -> torch.Tensor:
    """A launch whose sum takes two kernels: through ``cuda.py`` and the extension's bindings."""
    mu, logvar, value = torch.ones(1, 9000), torch.zeros(1, 9000), torch.zeros(1)
    inputs = [OnDevice.of(tensor, device) for tensor in (mu, logvar)]
    output = Output(1, OnDevice.of(value, device), None)
    backend = cuda.backend_of(engine, lambda _: stream)
    backend.run(KERNEL, False, torch.Size((1, 9000)), 1, inputs, [output])
    return value


def scale(engine: ModuleType, numel: int, factor: float = 0.5, device: int = 1) -> torch.Tensor:
    tensor, number = torch.ones(numel), torch.tensor(factor)
    engine.scale_cuda((native.describe_whole(tensor),), native.describe_whole(number), device, 0)
    return tensor


def mixture(engine: ModuleType, device: str = "cuda:1") -> torch.Tensor:
    params, x, out = torch.zeros(1, 10, 200), torch.zeros(1, 3, 200), torch.zeros(1)
    call = Mixture((1, 1, 200), OnDevice.of(params, device), OnDevice.of(x, device))
    cuda.backend_of(engine, lambda _: 0).mixture(call, None, OnDevice.of(out, device))
    return out
