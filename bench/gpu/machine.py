"""What a run is on: a GPU, or, for a dry run, the CPU in its place."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

import torch

import vaekern as vk
from bench.harness import environment
from bench.harness.report import Row

GPU_BACKENDS = ("cuda", "triton")


@dataclass(frozen=True)
class Machine:
    device: torch.device
    name: str
    cache_bytes: int  # of the last level
    memory_bytes: int
    backends: tuple[str, ...]  # of vaekern, that can be used
    synchronize: Callable[[], None]

    @property
    def is_gpu(self) -> bool:
        return self.device.type == "cuda"

    def describe(self) -> Row:
        """The columns that every result of a GPU has."""
        return environment.versions() | {
            "triton": _version("triton"),
            "cuda": torch.version.cuda or "",
            "driver": _driver(),
            "device": self.name,
            "cpu": environment.cpu_model(),
        }


def gpu() -> Machine:
    properties = torch.cuda.get_device_properties(0)
    return Machine(
        torch.device("cuda"),
        properties.name,
        properties.L2_cache_size,
        properties.total_memory,
        tuple(name for name in GPU_BACKENDS if why_unavailable(name) is None),
        torch.cuda.synchronize,
    )


def stand_in() -> Machine:
    """The CPU, for a dry run."""
    return Machine(torch.device("cpu"), "dry run", 0, 2**30, ("best",), lambda: None)


def imagined() -> Machine:
    """A GPU with all that could be asked for, to plan for."""
    return Machine(
        torch.device("cuda"), "imagined", 0, 2**40, GPU_BACKENDS, synchronize=lambda: None
    )


def why_unavailable(backend: str) -> str | None:
    try:
        with vk.backend(backend):
            return None
    except RuntimeError as error:
        return str(error)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _driver() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
