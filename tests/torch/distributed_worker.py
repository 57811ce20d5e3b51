"""What test_distributed.py runs on two processes at once: each writes what it found.

python -m torch.distributed.run --standalone --nproc-per-node 2 distributed_worker.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

import vaekern as vk

WORLD = 2
PIXELS, LATENT, BATCH = 12, 3, 8

#: fully_shard needs events of the CPU's streams, which torch 2.6 does not have.
SHARDS_ON_CPU = hasattr(torch.cpu.Stream, "record_event")


class Encoder(nn.Linear):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = super().forward(x).chunk(2, dim=-1)
        return mu, logvar


def make_model() -> vk.VAE:
    """The same wherever it is called."""
    torch.manual_seed(0)
    # Not a scalar: fully_shard takes none.
    likelihood = vk.GaussianLikelihood(torch.zeros(1), learned=True)
    return vk.VAE(Encoder(PIXELS, 2 * LATENT), nn.Linear(LATENT, PIXELS), likelihood)


def make_batch() -> tuple[Tensor, Tensor]:
    """Data and noise of all ranks together."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(BATCH, PIXELS, generator=generator)
    return x, torch.randn(BATCH, LATENT, generator=generator)


def gradients(
    model: nn.Module, parameters: list[nn.Parameter], x: Tensor, eps: Tensor
) -> list[Tensor]:
    model(x, eps=eps).loss.backward()
    found = [parameter.grad for parameter in parameters]
    return [g.full_tensor() if isinstance(g, DTensor) else g for g in found if g is not None]


def of_data_parallel(x: Tensor, eps: Tensor) -> list[Tensor]:
    model = make_model()
    return gradients(DistributedDataParallel(model), list(model.parameters()), x, eps)


def of_fully_sharded(x: Tensor, eps: Tensor, mesh: DeviceMesh) -> list[Tensor]:
    model = make_model()
    for module in (model.encoder, model.decoder, model):
        fully_shard(module, mesh=mesh)
    return gradients(model, list(model.parameters()), x, eps)


def noise() -> dict[str, Tensor]:
    """From one state of torch's generator, the same on all ranks."""
    zeros = torch.zeros(4, 5)
    options: dict[str, dict[str, Any]] = {
        "default": {},
        "again": {},
        "seed": {"seed": 7},
        "generator": {"generator": torch.Generator().manual_seed(7)},
    }
    found = {}
    for name, own in options.items():
        torch.manual_seed(7)
        found[name] = vk.reparameterize(zeros, zeros, **own)
    return found


def compiled_noise() -> Tensor:
    zeros = torch.zeros(4, 5)
    torch.manual_seed(7)
    return torch.compile(vk.reparameterize, backend="aot_eager", fullgraph=True)(zeros, zeros)


def refusals(mesh: DeviceMesh) -> dict[str, str]:
    """What the functions say to tensors that are spread over ranks; "" where nothing."""
    mu = distribute_tensor(torch.zeros(BATCH, PIXELS), mesh, [Shard(0)])
    weight = distribute_tensor(torch.zeros(PIXELS, PIXELS), mesh, [Shard(0)])
    calls: dict[str, Callable[[], Any]] = {
        "gaussian_kl": lambda: vk.gaussian_kl(mu, mu),
        "reparameterize": lambda: vk.reparameterize(mu, mu),
        "bernoulli_log_likelihood": lambda: vk.bernoulli_log_likelihood(mu, mu),
        "elbo_loss": lambda: vk.elbo_loss(mu, mu, mu, mu),
        "linear_bernoulli_log_likelihood": lambda: vk.linear_bernoulli_log_likelihood(
            mu.to_local(), weight, None, mu.to_local()
        ),
    }
    said = {}
    for name, call in calls.items():
        try:
            call()
            said[name] = ""
        except (RuntimeError, TypeError) as error:
            said[name] = str(error)
    assert vk.gaussian_kl(mu.to_local(), mu.to_local()).shape == (BATCH // WORLD,)
    return said


def main(folder: Path) -> None:
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    mesh = init_device_mesh("cpu", (WORLD,))
    x, eps = (t.chunk(WORLD)[rank] for t in make_batch())
    found = {
        "data parallel": of_data_parallel(x, eps),
        "noise": noise() | {"compiled": compiled_noise()},
        "refusals": refusals(mesh),
    }
    if SHARDS_ON_CPU:
        found["fully sharded"] = of_fully_sharded(x, eps, mesh)
    torch.save(found, folder / f"{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
