"""Triton's own just-in-time compiler, without a GPU.

A driver stands in for CUDA's. Launches come from the library's public functions, are specialised on
the arguments that they have, compiled as for a GPU, and end at the driver, which notes that they
came: results are whatever the memory held. The interpreter does not see what this does (types,
names, what is compiled in), nor does ahead-of-time compilation with signatures of one's own.

Where tests of values run, kernels are interpreted: :class:`Compiler` starts another process.
``triton_jit_launches.py`` has what is launched.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

TTIR, PTX, CUBIN = "ttir", "ptx", "cubin"  # how far: Triton's language, assembly, machine code


class Outcome(NamedTuple):
    """Of a request: why it failed, empty if it did not, and what it compiled and launched."""

    error: str
    compiled: dict[str, int]
    launched: dict[str, int]
    seconds: float


class Compiler:
    """A process that compiles what it is asked for. The environment says no more than that its
    kernels are not interpreted."""

    def __init__(self) -> None:
        self.launched = self.compiled = 0
        environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def __call__(self, name: str, *args: Any) -> Outcome:
        """Calls a function of ``triton_jit_launches.py``, or of a module that is named with it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, *args]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the compiler's process ended"
        outcome = Outcome(*json.loads(answer))
        self.launched += sum(outcome.launched.values())
        self.compiled += sum(outcome.compiled.values())
        return outcome

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


# --- the process ----------------------------------------------------------------------------------


class Launched(NamedTuple):
    """What the driver is told of a launch."""

    kernel: str
    grid: tuple[int, int, int]
    hash: str  # of the compiled kernel
    code: bytes
    warps: int
    enter: Any  # the hook that is to be called before
    types: tuple[Any, ...]  # of the arguments, "constexpr" of those that are compiled in
    args: Any


def described(arg: Any) -> Any:
    """An argument, without what it holds. (float64 is partial sums, wherever there is memory.)"""
    import torch

    if isinstance(arg, (tuple, list)):
        return tuple([described(each) for each in arg])
    if isinstance(arg, torch.Tensor):
        own = arg.dtype is torch.float64
        return str(arg.dtype), tuple(arg.shape), None if own else arg.data_ptr()
    return arg


class StandIn:
    """What Triton asks of a driver, for a GPU of ``arch`` that is not there."""

    def __init__(self) -> None:
        self.arch, self.until = 90, CUBIN
        self.launches: list[Launched] = []
        self.notes = True  # launches
        self.launcher_cls = self._launcher
        self.utils = self

    def _launcher(self, source: Any, metadata: Any) -> Callable[..., None]:
        def launch(x: int, y: int, z: int, *rest: Any) -> None:
            if not self.notes:
                return
            _, function, _, _, enter, _, *args = rest  # stream, function, metadata, hooks
            self.launches.append(
                Launched(
                    source.fn.fn.__name__,
                    (x, y, z),
                    metadata.hash,
                    function,
                    metadata.num_warps,
                    enter,
                    tuple(source.signature.values()),
                    described(args),
                )
            )

        return launch

    def get_current_device(self) -> tuple[int, str]:
        return self.arch, self.until  # so that each has kernels of its own

    def get_current_stream(self, device: tuple[int, str]) -> int:
        return 0

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", self.arch, 32)

    def get_device_properties(self, device: tuple[int, str]) -> dict[str, int]:
        return {"max_shared_mem": 101376, "multiprocessor_count": 108}

    def load_binary(self, name: str, code: bytes, *rest: Any) -> tuple[Any, ...]:
        return "module", code, 32, 0, 1024  # a function; registers, spills, threads

    def unload_module(self, module: Any) -> None:
        pass


class Real:
    """The library's Triton backend on CPU tensors, with the stand-in beneath it."""

    def __init__(self) -> None:
        # Of its own: what is cut short must not be found by anybody.
        self._cache = Path(tempfile.mkdtemp())
        atexit.register(shutil.rmtree, self._cache, ignore_errors=True)
        from triton import knobs
        from triton.runtime import driver

        self.driver = StandIn()
        driver.set_active(self.driver)
        self.compiled: Counter[str] = Counter()
        self.files: list[dict[str, str]] = []  # of each compilation: stage -> path
        knobs.compilation.listener = self._count
        self._cut_short()
        self._accept_any_device()

    def _count(self, *, src: Any, metadata_group: dict[str, str], **rest: Any) -> None:
        self.compiled[src.fn.fn.__name__] += 1
        self.files.append({Path(name).suffix[1:]: path for name, path in metadata_group.items()})

    def _cut_short(self) -> None:
        """Compiles as far as the driver wants it: what a version of Triton cannot read, it says
        there."""
        from triton.backends.nvidia.compiler import CUDABackend

        of_triton = CUDABackend.add_stages

        def add_stages(backend: Any, stages: dict[str, Any], *rest: Any) -> None:
            of_triton(backend, stages, *rest)
            if self.driver.until == TTIR:
                for stage in ("ttgir", "llir", "ptx"):
                    del stages[stage]
            if self.driver.until != CUBIN:
                stages["cubin"] = _no_code

        CUDABackend.add_stages = add_stages

    def _accept_any_device(self) -> None:
        import torch

        import vaekern as vk
        from vaekern._backends import choice
        from vaekern._backends.triton import BACKEND, prepared

        assert not prepared.INTERPRETED
        prepared.INTERPRETED = True  # tensors may be on the CPU
        self.forget = prepared.forget
        torch.cuda.current_device = lambda: None  # type: ignore[assignment,return-value]
        choice.emulated["triton"] = BACKEND
        self._use = vk.backend

    @contextmanager
    def compiling(self, arch: int, until: str) -> Iterator[None]:
        if (arch, until) != self.driver.get_current_device():
            self.forget()  # as for another GPU: on all of them, tensors are the CPU's here
        self.driver.arch, self.driver.until = arch, until
        os.environ["TRITON_CACHE_DIR"] = str(self._cache / until)
        self.compiled.clear()
        self.files.clear()
        self.driver.launches.clear()
        with self._use("triton"):
            yield


def _no_code(source: Any, metadata: dict[str, Any]) -> bytes:
    """In place of machine code, with what comes with it."""
    for name, value in {
        "name": "none",
        "shared": 0,
        "tmem_size": 0,
        "global_scratch_size": 0,
        "global_scratch_align": 1,
        "profile_scratch_size": 0,
        "profile_scratch_align": 1,
        "cluster_dims": (1, 1, 1),
    }.items():
        metadata.setdefault(name, value)
    return b"none"


def attempt(real: Real, name: str, arch: int, until: str, *args: Any) -> Outcome:
    module, _, function = name.rpartition(".")
    start, error = time.perf_counter(), ""
    with real.compiling(arch, until):
        try:
            getattr(importlib.import_module(module or "triton_jit_launches"), function)(real, *args)
        except Exception as raised:
            lines = [line for line in str(raised).strip().splitlines() if line.strip()]
            last = lines[-1] if lines else "".join(traceback.format_tb(raised.__traceback__)[-1:])
            error = f"{type(raised).__name__}: {last}"
    launched = Counter(each.kernel for each in real.driver.launches)
    return Outcome(error, dict(real.compiled), dict(launched), time.perf_counter() - start)


def find_helpers() -> None:
    """Beside the tests, as pytest does, in a process of its own."""
    tests = Path(__file__).parents[1]
    sys.path += [str(tests), str(tests / "support"), str(tests / "gpu")]


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever is printed meanwhile is no answer
    real = Real()
    for line in sys.stdin:
        name, *args = json.loads(line)
        print(json.dumps(attempt(real, name, *args)), file=answers, flush=True)


if __name__ == "__main__":
    find_helpers()
    _serve()
