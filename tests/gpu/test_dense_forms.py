"""Launches of dense tensors have CUDA kernels of their own, which give the bits of the kernel for
any launch: what lies elsewhere in memory gives the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import backends
import gpu_instructions
import pytest
import torch
from compare import same_bits
from cuda_launches import LARGE_SHAPES
from torch import Tensor

import vaekern as vk

#: Rows that fill no warp, or several tiles, or part of one; rows in pieces of several lengths.
SHAPES = ((1, 8), (5, 784), (33, 128), (3, 4104), (2, 6200), (1, 12296))
DTYPES = (torch.float32, torch.bfloat16)

Place = Callable[[Tensor], Tensor]


def aligned(x: Tensor) -> Tensor:
    return x.clone()


def misaligned(x: Tensor) -> Tensor:
    """One element behind an address that accesses of several would want."""
    memory = x.new_empty(x.numel() + 1)
    return memory[1:].view(x.shape).copy_(x)


def half(x: Tensor) -> Tensor:
    """As ``chunk`` makes it of a tensor of twice the columns."""
    return torch.cat([torch.zeros_like(x), x], -1).chunk(2, -1)[1]


def computations(
    shape: tuple[int, int], dtype: torch.dtype
) -> Iterator[Callable[[Place], list[Tensor]]]:
    generator = torch.Generator().manual_seed(0)
    a, b, upstream = torch.randn(3, *shape, generator=generator).to(dtype).unbind()
    x = torch.rand(shape, generator=generator)
    row = torch.randn(shape[0], generator=generator)

    def gradients(
        results: tuple[Tensor, ...], grads: list[Tensor], *leaves: Tensor
    ) -> list[Tensor]:
        return [*results, *torch.autograd.grad(results, leaves, grads)]

    for target in (x.to(dtype), x, (255.0 * x).to(torch.uint8)):

        def bernoulli(place: Place, target: Tensor = target) -> list[Tensor]:
            logits = place(a).requires_grad_()
            value = vk.bernoulli_log_likelihood(logits, place(target))
            return gradients((value,), [row], logits)

        def gaussian(place: Place, target: Tensor = target) -> list[Tensor]:
            mean, logvar = place(a).requires_grad_(), place(b).requires_grad_()
            value = vk.gaussian_log_likelihood(mean, place(target), logvar)
            return gradients((value,), [row], mean, logvar)

        def of_one_scale(place: Place, target: Tensor = target) -> list[Tensor]:
            mean, logvar = place(a).requires_grad_(), b[0, 0].clone().requires_grad_()
            value = vk.gaussian_log_likelihood(mean, place(target), logvar)
            return gradients((value,), [row], mean, logvar)

        yield from (bernoulli, gaussian, of_one_scale)

    def kl(place: Place) -> list[Tensor]:
        mu, logvar = place(a).requires_grad_(), place(b).requires_grad_()
        return gradients((vk.gaussian_kl(mu, logvar),), [row], mu, logvar)

    def sample(place: Place) -> list[Tensor]:
        mu, logvar = place(a).requires_grad_(), place(b).requires_grad_()
        z = vk.reparameterize(mu, logvar, seed=3)
        return gradients((z,), [place(upstream)], mu, logvar)

    def both(place: Place) -> list[Tensor]:
        mu, logvar = place(a).requires_grad_(), place(b).requires_grad_()
        return gradients(vk.sample_with_kl(mu, logvar, seed=3), [place(upstream), row], mu, logvar)

    yield from (kl, sample, both)


@pytest.mark.skipif(backends.device.type != "cpu", reason="of the emulation")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dense_launches_give_the_bits_of_any_other(
    shape: tuple[int, int], dtype: torch.dtype
) -> None:
    with backends.usable("cuda"), vk.backend("cuda"):
        for compute in computations(shape, dtype):
            want = compute(misaligned)
            for place in (aligned, half):
                got = compute(place)
                assert all(map(same_bits, got, want)), (compute.__name__, place.__name__)


def test_threads_of_large_launches_take_several_groups() -> None:
    if why := gpu_instructions.emulation.why_not():
        pytest.skip(why)
    program = gpu_instructions.compile_program()
    launch = gpu_instructions.LAUNCHES[0]
    for shape, groups in zip(((100, 136), *LARGE_SHAPES), (1, 2, 4), strict=True):
        plan = gpu_instructions.plan(program, launch._replace(shape=shape), "float32")
        assert -(-plan.elements // (8 * plan.threads)) == groups


def test_what_training_steps_launch_is_dense() -> None:
    if why := gpu_instructions.emulation.why_not():
        pytest.skip(why)
    program = gpu_instructions.compile_program()
    for launch in gpu_instructions.LAUNCHES:
        for dtype in DTYPES:
            name = str(dtype).removeprefix("torch.")
            plan = gpu_instructions.plan(program, launch, name)
            assert plan.kernel.endswith("float") == (launch.layout == "odd"), (launch, name)
            if launch.layout != "odd":
                assert f" float {name} " in plan.kernel
