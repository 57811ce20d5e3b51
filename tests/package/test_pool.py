"""Large results come from a pool of buffers: reused when they are gone, never before."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch

import vaekern as vk
from vaekern._backends import native

MIB = 1 << 20
LARGE = (1024, 1024)  # 4 MiB of float32

if native.core is None:
    pytest.skip("no compiled extension", allow_module_level=True)


@pytest.fixture(autouse=True)
def empty_pool() -> Iterator[None]:
    native.core.keep_at_most(0)
    native.core.keep_at_most(64 * MIB)
    yield
    native.core.keep_at_most(1024 * MIB)


def sample(seed: int) -> torch.Tensor:
    zeros = torch.zeros(()).expand(LARGE)
    return vk.reparameterize(zeros, zeros, seed=seed)


def test_live_results_never_share_memory() -> None:
    first = sample(1)
    kept = first.clone()
    view = first[:, 5]
    second = sample(2)
    assert first.data_ptr() != second.data_ptr()
    del first
    third = sample(3)  # the view keeps the first one's memory
    assert torch.equal(view, kept[:, 5])
    assert third.data_ptr() != view.data_ptr()
    assert not torch.equal(third, second)


def test_freed_results_are_reused() -> None:
    first = sample(1)
    address = first.data_ptr()
    del first
    gc.collect()
    assert native.core.kept() == 4 * MIB
    assert sample(2).data_ptr() == address


def test_the_pool_is_bounded() -> None:
    results = [sample(k) for k in range(20)]
    del results
    gc.collect()
    assert native.core.kept() == 64 * MIB
    native.core.keep_at_most(8 * MIB)
    assert native.core.kept() == 8 * MIB


def test_gradients_survive_the_next_step() -> None:
    mu, logvar = torch.zeros(LARGE, requires_grad=True), torch.zeros(LARGE, requires_grad=True)
    vk.sample_with_kl(mu, logvar, seed=1)[0].sum().backward()
    kept = logvar.grad.clone()
    gradient, logvar.grad = logvar.grad, None
    for seed in (2, 3):
        vk.sample_with_kl(mu, logvar, seed=seed)[0].sum().backward()
        logvar.grad = None
    assert torch.equal(gradient, kept)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_shape_dtype_and_ordinary_use(dtype: torch.dtype) -> None:
    zeros = torch.zeros((), dtype=dtype).expand(2, 512, 2048)
    z = vk.reparameterize(zeros, zeros, seed=1)
    assert z.shape == (2, 512, 2048)
    assert z.is_contiguous()
    assert z._base is None
    small = vk.reparameterize(zeros[:1, :1], zeros[:1, :1], seed=1)
    assert torch.equal(z[:1, :1], small)
    z.add_(1.0)
    assert torch.equal(z[:1, :1], small + 1.0)
