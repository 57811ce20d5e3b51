"""Scaling in place, as the backward pass does it on CUDA, on a stand-in for CUDA's runtime."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import cuda_emulation as emulation
import pytest
import torch
from cuda_machines import Device, machine

from vaekern._backends import native

_missing = emulation.why_not() or ("" if native.core else "needs the CPU kernels")
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)


@pytest.fixture
def engine() -> Iterator[ModuleType]:
    with machine(Device(8, 0)) as engine:
        yield engine


@pytest.mark.parametrize("processors", [1, 80])
def test_scaling_starts_no_more_blocks_than_a_device_holds(processors: int) -> None:
    one = torch.ones(())
    somewhere = one.data_ptr()  # that nothing is done with
    with machine(Device(8, 0, processors)) as engine:
        tensors = ((somewhere, 0, 2**26), (somewhere, 2, 2**33))
        engine.scale_cuda(tensors, native.describe_whole(one), 0, 0)
        ((_, _, blocks, threads, _),) = engine.launches()
    assert blocks * threads <= 2048 * processors


DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@pytest.mark.parametrize("factor", [1.0, -0.3])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_scaling_in_place(dtype: torch.dtype, factor: float, engine: ModuleType) -> None:
    """Tensors of all sizes around what a thread takes, on memory of any alignment."""
    sizes = (1, 3, 8, 1024, 4096 * 2 + 5, 150_001)
    memory = [torch.randn(n + 16).to(dtype) for n in sizes]
    for shift in (0, 1, 5):
        before = [whole.clone() for whole in memory]
        tensors = [whole[shift : shift + n] for whole, n in zip(memory, sizes, strict=True)]
        number = torch.tensor(factor)
        engine.scale_cuda(
            tuple(native.describe_whole(tensor) for tensor in tensors),
            native.describe_whole(number),
            0,
            0,
        )
        for whole, old, n in zip(memory, before, sizes, strict=True):
            old[shift : shift + n] *= number
            assert torch.equal(whole, old)
