"""Two processes: gradients are those of one on the joined batch, noise is each rank's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import shared
import torch
from distributed_worker import SHARDS_ON_CPU, gradients, make_batch, make_model, noise

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(
        not torch.distributed.is_available() or not torch.distributed.is_gloo_available(),
        reason="this torch has no gloo",
    ),
]

HERE = Path(__file__).parent
PATIENCE = 300.0  # seconds


def torchrun(*command: str) -> subprocess.CompletedProcess[str]:
    """On two processes of this machine, with a thread each."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*launcher, *command],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=environment,
    )


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each rank found."""

    def start(folder: Path) -> None:
        run = torchrun(str(HERE / "distributed_worker.py"), str(folder))
        assert run.returncode == 0, run.stderr

    folder = shared.folder(tmp_path_factory, "ranks", start)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("wrapper", ["data parallel", "fully sharded"])
def test_gradients_are_those_of_the_joined_batch(ranks: list[dict[str, Any]], wrapper: str) -> None:
    if wrapper == "fully sharded" and not SHARDS_ON_CPU:
        pytest.skip("fully_shard runs on CPUs from torch 2.7 on")
    model = make_model()
    want = gradients(model, list(model.parameters()), *make_batch())
    for rank in ranks:
        torch.testing.assert_close(rank[wrapper], want)


def test_noise_is_each_rank_s_own_and_repeats(ranks: list[dict[str, Any]]) -> None:
    """From generators in the same state; the first rank's is that of a process on its own."""
    first, second = (rank["noise"] for rank in ranks)
    assert not torch.equal(first["default"], second["default"])
    for found in (first, second):
        assert torch.equal(found["again"], found["default"])
        assert torch.equal(found["compiled"], found["default"])
    alone = noise()
    assert torch.equal(first["default"], alone["default"])
    for chosen in ("seed", "generator"):
        assert torch.equal(first[chosen], alone[chosen])
        assert torch.equal(second[chosen], alone[chosen])


def test_tensors_spread_over_ranks_are_refused(ranks: list[dict[str, Any]]) -> None:
    """Rather than taken for one rank's part of them."""
    for name, said in ranks[0]["refusals"].items():
        assert "sharding strategy" in said or "DTensor" in said, (name, said)


@pytest.mark.exhaustive
def test_the_example_trains_on_two_processes(tmp_path: Path) -> None:
    """One of them prints and writes; what it writes is the model's state, not its wrapper's."""
    for package in ("matplotlib", "sklearn", "tqdm"):
        pytest.importorskip(package, reason="the example's packages: pip install '.[examples]'")
    script = HERE.parents[1] / "examples" / "train_mnist.py"
    small = ("--dataset=digits", "--device=cpu", "--hidden=32", "--latent=2", f"--out={tmp_path}")
    run = torchrun(str(script), *small, "--epochs=2", "--importance-samples=10")
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("held-out digits") == 1
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    first, last = (epoch["train_elbo"] for epoch in checkpoint["history"])
    assert checkpoint["epoch"] == 2
    assert last > first
    assert set(checkpoint["model"]) == {
        f"{part}.{name}"
        for part in ("encoder.layers.0", "encoder.layers.2", "decoder.0", "decoder.2")
        for name in ("weight", "bias")
    } | {"_extra_state"}
