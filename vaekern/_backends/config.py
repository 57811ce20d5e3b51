"""What runs where, for a bug report."""

from __future__ import annotations

import platform
from importlib import metadata
from pathlib import Path

import torch

from vaekern._backends.choice import BACKENDS, best_on_gpu, gpu_name, triton_version, unavailable
from vaekern._backends.native import core, cuda
from vaekern._version import __version__


def config() -> dict[str, str]:
    """Versions, hardware, backends and how the compiled kernels were built, in print order."""
    return {
        "vaekern": _version(),
        "torch": torch.__version__,
        "triton": triton_version() or "not installed",
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": platform.platform(),
        "processor": _processor(),
        "gpu": _gpu(),
        **{f"backend {name}": _state(name) for name in BACKENDS},
        **{f"on cuda:{index}": _choice(index) for index in range(torch.cuda.device_count())},
        **_compiled(),
        "threads": str(torch.get_num_threads()),
    }


def show_config() -> None:
    """Prints the versions, hardware and backends in use; a bug report should include it.

    ``python -m vaekern`` does the same.
    """
    entries = config()
    width = max(len(name) for name in entries)
    print("\n".join(f"{name:<{width}}  {value}" for name, value in entries.items()))


def _version() -> str:
    try:
        metadata.distribution("vaekern")
    except metadata.PackageNotFoundError:
        return f"{__version__} (not installed: imported from a source folder)"
    return __version__


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _gpu() -> str:
    if not torch.cuda.is_available():
        return "none that torch can use"
    names = [gpu_name(k) for k in range(torch.cuda.device_count())]
    return f"{', '.join(names)} (CUDA {torch.version.cuda or torch.version.hip})"


def _state(backend: str) -> str:
    why = unavailable(backend)
    return "available" if why is None else f"not available: {why}"


def _choice(gpu: int) -> str:
    """What its tensors run on."""
    backend, why = best_on_gpu(gpu)
    return f"{backend}, on {gpu_name(gpu)}" + (f" (not cuda: {why})" if why else "")


def _compiled() -> dict[str, str]:
    if core is None:
        return {}
    return {
        "extension": core.__file__ or "",
        "instruction set": f"{core.isa()} (usable: {', '.join(core.usable_isas())})",
        "openmp": "yes" if core.openmp else "no",
        "cuda kernels": _cuda_kernels(),
    }


def _cuda_kernels() -> str:
    if cuda is None:
        return "not compiled"
    version = f"{cuda['version'] // 1000}.{cuda['version'] % 1000 // 10}"
    return f"CUDA {version}, architectures {cuda['architectures']}"
