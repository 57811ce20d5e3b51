"""The fast path on GPUs, here on CUDA's kernels on emulated threads: its launches are those of the
path in Python, and one that fails is left to that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import backends
import cuda_emulation
import pytest
import torch
from operations.case import Case, label_of
from operations.every import ONE_PER_OP
from torch import Tensor

import vaekern as vk
from vaekern._backends import choice, fast
from vaekern._ops.base import OPERATIONS

pytestmark = pytest.mark.skipif(not fast.usable, reason="no fast path with this torch or build")


OUT_OF_RESOURCES = 701  # cudaErrorLaunchOutOfResources


@pytest.fixture
def engine() -> Iterator[ModuleType]:
    """CUDA's kernels for the CPU's tensors, which count as a GPU's."""
    if backends.device.type != "cpu":
        pytest.skip("emulated")
    with backends.usable("cuda"), vk.backend("cuda"):
        engine = cuda_emulation.engine()
        engine.launches()
        yield engine


def _loss() -> Callable[[], Any]:
    """Of several tiles, whose total, which the host may not read, would take another launch."""
    logits, mu, logvar = (torch.randn(300, 20).requires_grad_() for _ in range(3))
    x = torch.rand(300, 20)

    def run() -> Tensor:
        loss = vk.elbo_loss(logits, x, mu, logvar, beta=0.7)
        loss.backward()
        return loss

    return run


def _call(case: Case) -> Callable[[], Any]:
    tensors = case.make((3, 4, 5), torch.float32)
    tensors[0].requires_grad_()

    def run() -> None:
        results = case(*tensors)
        torch.autograd.backward(results, [torch.ones_like(result) for result in results])

    return run


@pytest.mark.parametrize("case", [*ONE_PER_OP, None], ids=lambda c: label_of(c) if c else "loss")
def test_launches_are_those_of_python(case: Case | None, engine: ModuleType) -> None:
    run = _loss() if case is None else _call(case)
    run()
    ours = engine.launches()
    with fast.allowed(False):
        run()
    assert ours == engine.launches()
    assert ours


PLANNED = [
    case
    for case in ONE_PER_OP
    if OPERATIONS[case.op].fast is not fast.NO_PLAN and not OPERATIONS[case.op].kept
]


@pytest.mark.parametrize("case", PLANNED, ids=label_of)
def test_nothing_goes_by_way_of_python(
    case: Case, engine: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("by way of Python")

    run = _call(case)
    monkeypatch.setattr(choice, "backend_named", fail)
    monkeypatch.setattr(type(OPERATIONS[case.op]), "_kernel", fail)
    monkeypatch.setattr(type(OPERATIONS[case.op]), "_vjp_kernel", fail)
    run()
    assert engine.launches()


def test_a_failed_launch_is_left_to_python(engine: ModuleType) -> None:
    mu = torch.randn(3, 4)
    with fast.allowed(False):
        engine.fail_next_launch(OUT_OF_RESOURCES)
        with pytest.raises(RuntimeError) as theirs:
            vk.gaussian_kl(mu, mu)
    engine.fail_next_launch(OUT_OF_RESOURCES)
    # It counts as irregular, and what Python then launches does not fail.
    torch.testing.assert_close(vk.gaussian_kl(mu, mu), vk.reference.gaussian_kl(mu, mu))
    assert "CUDA" in str(theirs.value)


def test_afterwards_the_cpu_has_its_kernels_back(engine: ModuleType) -> None:
    mu = torch.randn(3, 4)
    with vk.backend("cpu"):
        vk.gaussian_kl(mu, mu)
    assert not engine.launches()
    vk.gaussian_kl(mu, mu)
    assert engine.launches()
