"""The installed extension: instruction sets, floating-point modes, imports, forks."""

from __future__ import annotations

import bisect
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from sampling import one_in

import vaekern as vk
from vaekern import _core
from vaekern._backends import native

X86 = platform.machine() in ("x86_64", "AMD64")
WIDTHS = ("xmm", "ymm", "zmm")  # of the registers of
LEVELS = ("x86_64_v2", "x86_64_v3", "x86_64_v4")

disassembles = pytest.mark.skipif(
    not X86 or shutil.which("objdump") is None, reason="needs x86-64 and objdump"
)


def objdump(*options: str) -> str:
    command = ["objdump", *options, _core.__file__]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@dataclass
class Function:
    """What a function's float32 arithmetic is made of."""

    scalar: int = 0
    packed: int = 0
    width: int = 0  # of the widest register it touches: an index of WIDTHS


@pytest.fixture(scope="module")
def functions() -> list[Function]:
    """Those that compute in float32, in the order of their addresses. The binary is stripped: where
    a function begins is read from the tables for stack unwinding."""
    frames = re.findall(r"FDE .*pc=([0-9a-f]+)\.\.", objdump("--dwarf=frames"))
    starts = sorted({int(start, 16) for start in frames})
    found = [Function() for _ in starts]
    for line in objdump("-d", "--no-show-raw-insn", "-j", ".text").splitlines():
        instruction = re.match(r"\s+([0-9a-f]+):\s+(\S+)\s*(.*)", line)
        if instruction is None:
            continue
        address, operation, operands = instruction.groups()
        function = found[bisect.bisect(starts, int(address, 16)) - 1]
        for register in re.findall(r"\b[xyz]mm", operands):
            function.width = max(function.width, WIDTHS.index(register))
        arithmetic = re.fullmatch(r"v?(?:mul|add|sub|fn?m(?:add|sub)\d+)([ps])s", operation)
        if arithmetic is not None:
            function.packed += arithmetic[1] == "p"
            function.scalar += arithmetic[1] == "s"
    return [f for f in found if f.packed + f.scalar >= 6]


@disassembles
def test_every_loop_is_vectorised(functions: list[Function]) -> None:
    """A loop that computes has packed instructions, whatever its remainder is made of."""
    assert not [f for f in functions if f.packed == 0]


@disassembles
def test_every_level_has_vector_kernels_of_its_width_only(functions: list[Function]) -> None:
    """The levels lie one after the other: x86-64-v2 with xmm registers alone, v3 with ymm but no
    zmm, v4 with zmm. A function out of turn would be one that is wider or narrower than its level.
    A level is compiled whole or not at all. (It also means that library templates, of which the
    linker keeps the first copy, come from the lowest level.)"""
    widths = [f.width for f in functions if f.packed >= 6]
    assert widths == sorted(widths)
    kernels = [widths.count(width) for width in range(len(WIDTHS))]
    compiled = [n >= len(native.core.kernels()) for n in kernels]
    assert all(n == 0 for n, whole in zip(kernels, compiled, strict=True) if not whole)
    assert all(compiled[LEVELS.index(isa)] for isa in _core.usable_isas())


@disassembles
def test_no_fast_math_start_up_object() -> None:
    """It would switch the whole process to flush-to-zero."""
    assert "set_fast_math" not in objdump("-t") + objdump("-d")


@disassembles
def test_the_floating_point_mode_is_never_set() -> None:
    assert "ldmxcsr" not in objdump("-d")


# --- other processes ------------------------------------------------------------------------------


def python(program: str, **environment: str) -> str:
    """Output of a program in a process of its own, warnings being errors there too. (Not in the
    checkout, whose sources Python would import instead of the installed package.)"""
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=120, env={**os.environ, **environment},
        cwd=Path(__file__).parent,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def test_importing_leaves_subnormals_alive() -> None:
    """In this thread and in those of the thread pool."""
    assert (
        python("""
        import torch
        import vaekern as vk
        tiny = torch.full((1 << 20,), 5e-40)
        alive = bool(((tiny * 1) != 0).all())
        vk.gaussian_kl(torch.randn(64, 4096), torch.randn(64, 4096))
        print(alive, bool(((tiny * 1) != 0).all()), 5e-324 * 1.0 != 0)
    """)
        == "True True True"
    )


def test_kernels_compute_with_subnormals(isa: str) -> None:
    tiny = torch.tensor([[5e-40, -1e-44]])
    assert torch.equal(vk.reparameterize(tiny, torch.zeros(1, 2), torch.zeros(1, 2)), tiny)


@pytest.mark.parametrize("first", one_in(2, ["import vaekern, torch", "import torch, vaekern"]))
def test_import_order(first: str) -> None:
    assert (
        python(f"""
        {first}
        x = torch.randn(300, 400)
        print(vaekern.gaussian_kl(x, x).shape[0], vaekern._backends.native.core is not None)
    """)
        == "300 True"
    )


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.exhaustive if n else ())
        for n, name in enumerate(_core.usable_isas())
    ],
)
def test_the_variable_chooses_the_instruction_set(name: str) -> None:
    program = "from vaekern import _core; print(_core.isa())"
    assert python(program, VAEKERN_CPU_ISA=name) == name


def test_an_unknown_instruction_set_is_refused() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", "import vaekern"],
        capture_output=True, text=True, cwd=Path(__file__).parent,
        env={**os.environ, "VAEKERN_CPU_ISA": "x86_64_v9"},
    )  # fmt: skip
    assert finished.returncode != 0
    assert "VAEKERN_CPU_ISA='x86_64_v9'" in finished.stderr


def test_the_best_instruction_set_is_the_default() -> None:
    environment = {"VAEKERN_CPU_ISA": ""}
    assert (
        python("from vaekern import _core; print(_core.isa())", **environment)
        == (_core.usable_isas()[0])
    )


# --- forks ---------------------------------------------------------------------------------------


def _work() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(64, 4096, generator=generator)
    return vk.gaussian_kl(x, x)


def _exit_code(child: int, seconds: float = 60.0) -> int | None:
    """None if it hangs."""
    for _ in range(int(seconds / 0.05)):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_of_a_parent_with_threads(set_threads: Callable[[int], None]) -> None:
    set_threads(2)
    want = _work()
    child = os.fork()
    if child == 0:
        os._exit(0 if torch.equal(_work(), want) else 1)
    assert _exit_code(child) == 0
    assert torch.equal(_work(), want)


class _Divergences(torch.utils.data.Dataset[torch.Tensor]):
    """At the top of the file, where worker processes find it."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        return _work()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_dataloader_workers(set_threads: Callable[[int], None]) -> None:
    set_threads(2)
    want = _work()
    loader = torch.utils.data.DataLoader(
        _Divergences(), batch_size=2, num_workers=2, multiprocessing_context="fork", timeout=60
    )
    for batch in loader:
        assert torch.equal(batch, torch.stack([want, want]))


@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump")
def test_the_extension_knows_nothing_of_torch() -> None:
    """One binary for every version of torch."""
    needed = re.findall(r"NEEDED\s+(\S+)", objdump("-p"))
    assert not [library for library in needed if "torch" in library or "c10" in library]


@pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump")
def test_every_torch_brings_the_openmp_that_the_extension_needs() -> None:
    """The runtime in torch 2.6 for CUDA ends with OpenMP 4.5."""
    needed = re.findall(r"\bG?OMP_(\d+)\.(\d+)", objdump("-p"))
    assert all((int(major), int(minor)) <= (4, 5) for major, minor in needed), needed
