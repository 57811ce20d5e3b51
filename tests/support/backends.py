"""The backends under test, and where they run.

Ordinarily on CPU tensors: the CPU's kernels as they are, the CUDA sources compiled by the C++
compiler against an emulation of CUDA's threads, the Triton kernels in Triton's interpreter. With
``pytest --device cuda``, the two GPU backends as they are, on CUDA tensors.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator

import cuda_emulation
import pytest
import torch
import triton_interpreter
from torch import Tensor

from vaekern._backends import choice, cuda, native
from vaekern._backends.launch import Backend

EMULATED = ("cpu", "cuda", "triton")
ON_A_GPU = ("cuda", "triton")

device = torch.device("cpu")


def choose(where: str) -> None:
    """The device under test, before any test is collected."""
    global device
    device = torch.device(where)
    if device.type != "cpu":
        os.environ.pop("TRITON_INTERPRET", None)  # of triton_interpreter; Triton is not there yet


def names() -> tuple[str, ...]:
    return EMULATED if device.type == "cpu" else ON_A_GPU


def fast_names() -> tuple[str, ...]:
    return tuple(name for name in names() if name != "triton" or device.type != "cpu")


@contextlib.contextmanager
def usable(name: str) -> Iterator[None]:
    """Makes ``vk.backend(name)`` usable on tensors of the device, or skips the test."""
    if name == "cpu" and native.core is None:
        pytest.skip(native.why_missing)
    if device.type != "cpu" or name not in ON_A_GPU:
        yield
        return
    why = {"cuda": cuda_emulation.why_not, "triton": triton_interpreter.why_not}[name]()
    if why:
        pytest.skip(why)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(choice.emulated, name, _emulated(name))
        yield


@functools.cache
def _emulated(name: str) -> Backend:
    if name == "triton":
        return triton_interpreter.backend()
    return cuda.backend_of(cuda_emulation.engine(), lambda _: 0)


def put(tensor: Tensor) -> Tensor:
    """The tensor on the device, with the same strides in a copy of the same memory."""
    if device.type == "cpu":
        return tensor
    if tensor.is_neg():
        return torch._neg_view(put(torch._neg_view(tensor)))
    memory = torch.empty(0, dtype=tensor.dtype, device=device)
    storage = tensor.untyped_storage().to(device=device)
    return memory.set_(storage, tensor.storage_offset(), tensor.shape, tensor.stride())
