"""One process, or several that torchrun started, each with its share of the data."""

from __future__ import annotations

import os
from collections.abc import Iterator

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data.distributed import DistributedSampler


def join(device: torch.device) -> torch.device:
    """Joins the other processes, if there are any. Returns the device of this one."""
    if not distributed.is_torchelastic_launched():
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def is_first() -> bool:
    """Whether this process is the one that prints and writes."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def data_parallel(model: nn.Module) -> nn.Module:
    """The model, with gradients averaged over processes."""
    return DistributedDataParallel(model) if distributed.is_initialized() else model


def total(number: Tensor) -> Tensor:
    """The sum over processes."""
    if distributed.is_initialized():
        distributed.all_reduce(number)
    return number


def batches(n: int, batch_size: int, epoch: int, seed: int) -> Iterator[Tensor]:
    """Row numbers in random order, this process's share of every batch."""
    if not distributed.is_initialized():
        yield from torch.randperm(n).split(batch_size)
        return
    sampler = DistributedSampler(range(n), seed=seed, drop_last=True)
    sampler.set_epoch(epoch)
    share = max(1, batch_size // distributed.get_world_size())
    yield from torch.tensor(list(sampler)).split(share)
