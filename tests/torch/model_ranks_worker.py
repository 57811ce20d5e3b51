"""What test_model_ranks.py runs on two processes at once: each writes what it found.

python -m torch.distributed.run --standalone --nproc-per-node 2 model_ranks_worker.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from distributed_worker import SHARDS_ON_CPU, make_batch, make_model
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

import vaekern as vk

SAMPLES = 3
METHODS = ("elbo", "reconstruct", "sample", "log_marginal_likelihood")


class Bound(nn.Module):
    """A model whose forward is the bound: what goes through it is averaged over ranks."""

    def __init__(self, model: vk.VAE, estimator: str) -> None:
        super().__init__()
        self.model = model
        self.estimator = estimator

    def forward(self, x: Tensor, eps: Tensor) -> Tensor:
        bound = vk.objectives.importance_weighted(
            self.model, x, SAMPLES, estimator=self.estimator, eps=eps
        )
        return -bound.mean()


def many_eps() -> Tensor:
    """[samples, batch, latent], of all ranks together."""
    _, eps = make_batch()
    return torch.stack([eps, eps.flip(0), -eps])


def own_gradients(model: nn.Module) -> list[Tensor]:
    found = [p.grad for p in model.parameters() if p.grad is not None]
    return [g.full_tensor() if isinstance(g, DTensor) else g.clone() for g in found]


def of_static_graph(x: Tensor, eps: Tensor) -> list[list[Tensor]]:
    """In each of three steps."""
    model = make_model()
    wrapped, found = DistributedDataParallel(model, static_graph=True), []
    for _ in range(3):
        model.zero_grad()
        wrapped(x, eps=eps).loss.backward()
        found.append(own_gradients(model))
    return found


def of_bound(x: Tensor, eps: Tensor, estimator: str) -> list[Tensor]:
    model = make_model()
    wrapped = DistributedDataParallel(Bound(model, estimator))
    wrapped(x, eps).backward()
    return own_gradients(model)


def of_sharded_methods(x: Tensor) -> dict[str, tuple[int, ...]]:
    """Shapes of what methods return, first one of them, then the others."""
    found = {}
    for first in METHODS:
        model = make_model()
        for module in (model.encoder, model.decoder, model):
            fully_shard(module, mesh=init_device_mesh("cpu", (distributed.get_world_size(),)))
        for method in METHODS:
            register_fsdp_forward_method(model, method)
        if first == "sample":
            model.learn_latent_shape((3,))
        for method in (first, *METHODS):
            result = getattr(model, method)(4 if method == "sample" else x)
            found[f"{first}, {method}"] = tuple(result.shape)
    return found


def main(folder: Path) -> None:
    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    x, eps = (t.chunk(world)[rank] for t in make_batch())
    many = many_eps().chunk(world, dim=1)[rank]
    found = {
        "static graph": of_static_graph(x, eps),
        "bounds": {e: of_bound(x, many, e) for e in ("iwae", "stl", "dreg")},
    }
    if SHARDS_ON_CPU:
        found["methods"] = of_sharded_methods(x)
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
