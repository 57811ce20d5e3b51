"""The fast path keeps nothing, and lets threads run."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
import torch

import vaekern as vk
from vaekern._backends import fast
from vaekern._ops import table

pytestmark = pytest.mark.skipif(not fast.usable, reason="no fast path with this torch or build")


@pytest.fixture
def step() -> Iterator[Callable[[], None]]:
    mu = torch.randn(2, 4, requires_grad=True)
    logvar, logits = torch.zeros(2, 4, requires_grad=True), torch.randn(2, 8, requires_grad=True)
    x, leaves = torch.rand(2, 8), (mu, logvar, logits)
    counts = [sys.getrefcount(leaf) for leaf in leaves]

    def run() -> None:
        z = vk.reparameterize(mu, logvar)
        loss = vk.elbo_loss(logits, x, mu, logvar)
        kl = vk.gaussian_kl(mu, logvar, 0.1, 0.2).sum()
        ll = vk.gaussian_log_likelihood(logits, x, -0.3).sum()
        of_classes = vk.categorical_kl(logits, x, unimix=0.01).sum()
        one_hot, soft = vk.sample_categorical(logits), vk.gumbel_softmax(logits, 0.5)
        torch.autograd.grad([loss, z, kl, ll], leaves, [None, z, None, None])
        torch.autograd.grad([of_classes, one_hot, soft], [logits], [None, x, x])
        with torch.no_grad():
            vk.sample_with_kl(mu, logvar)
            table.BERNOULLI.attempt(logits, x[:1], None, 1, "unit")

    yield run
    gc.collect()
    assert [sys.getrefcount(leaf) for leaf in leaves] == counts


def _resident_kib() -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_nothing_leaks(step: Callable[[], None]) -> None:
    for _ in range(500):
        step()
    gc.collect()
    # What leaks does so in every series; what other threads of the process allocate does not.
    objects, blocks, memory = map(min, zip(*(_growth(step) for _ in range(3)), strict=True))
    assert objects < 16
    assert blocks < 160
    assert memory < 640  # KiB; a tensor of each call would be MiB


def _growth(step: Callable[[], None]) -> tuple[int, int, int]:
    """How many objects, blocks of memory and KiB 1000 steps leave behind."""
    before = len(gc.get_objects()), sys.getallocatedblocks(), _resident_kib()
    for _ in range(1000):
        step()
    gc.collect()
    after = len(gc.get_objects()), sys.getallocatedblocks(), _resident_kib()
    return after[0] - before[0], after[1] - before[1], after[2] - before[2]


def test_threads(step: Callable[[], None]) -> None:
    mu, logvar = torch.randn(64, 1024), torch.randn(64, 1024)
    seed = torch.tensor([5, 6])
    want = vk.reparameterize(mu, logvar, seed=seed)
    wrong: list[BaseException | int] = []

    def work() -> None:
        try:
            for _ in range(50):
                step()
                if not torch.equal(vk.reparameterize(mu, logvar, seed=seed), want):
                    wrong.append(1)
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
