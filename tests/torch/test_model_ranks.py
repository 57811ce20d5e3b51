"""Models on two processes: what goes through a wrapper's forward has the gradients of the joined
batch, also where torch takes the output apart; methods work on parameters that are spread."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from distributed_worker import BATCH, PIXELS, SHARDS_ON_CPU, make_batch, make_model
from model_ranks_worker import METHODS, Bound, many_eps, own_gradients
from test_distributed import HERE, torchrun

pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.skipif(
        not torch.distributed.is_available() or not torch.distributed.is_gloo_available(),
        reason="this torch has no gloo",
    ),
]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each rank found."""
    folder = tmp_path_factory.mktemp("model_ranks")
    run = torchrun(str(HERE / "model_ranks_worker.py"), str(folder))
    assert run.returncode == 0, run.stderr
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def test_a_static_graph_averages_gradients(ranks: list[dict[str, Any]]) -> None:
    """DDP takes the model's output apart to hook on to it."""
    model, (x, eps) = make_model(), make_batch()
    model(x, eps=eps).loss.backward()
    want = own_gradients(model)
    for rank in ranks:
        for found in rank["static graph"]:
            torch.testing.assert_close(found, want)


@pytest.mark.parametrize("estimator", ["iwae", "stl", "dreg"])
def test_a_bound_has_the_gradients_of_the_joined_batch(
    ranks: list[dict[str, Any]], estimator: str
) -> None:
    model, (x, _) = make_model(), make_batch()
    Bound(model, estimator)(x, many_eps()).backward()
    for rank in ranks:
        torch.testing.assert_close(rank["bounds"][estimator], own_gradients(model))


@pytest.mark.skipif(not SHARDS_ON_CPU, reason="fully_shard runs on CPUs from torch 2.7 on")
def test_methods_of_a_sharded_model(ranks: list[dict[str, Any]]) -> None:
    """Registered with FSDP, whichever is called first."""
    half = BATCH // 2
    shapes = {"elbo": (half,), "log_marginal_likelihood": (half,)}
    shapes |= {"reconstruct": (half, PIXELS), "sample": (4, PIXELS)}
    for rank in ranks:
        for first in METHODS:
            for method in METHODS:
                assert rank["methods"][f"{first}, {method}"] == shapes[method]
