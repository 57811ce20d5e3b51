"""The CUDA engine on emulated threads: right results on odd launches, in every order of threads,
and nothing read or written outside; and that these tests notice planted mistakes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import cuda_emulation as emulation
import cuda_launches
import pytest
import torch
from cuda_launches import DENSE, LARGE_SHAPES, ORDERS, SHAPES, DenseLaunch, problems, run
from raw_launch import Kernel, Launch
from sampling import one_in, one_row_in

from vaekern._backends import native

_missing = emulation.why_not() or ("" if native.core else "needs the CPU kernels")
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)


def _path(file: Path) -> str:
    return str(file.relative_to(emulation.ROOT))


SANITIZED = Path(__file__).parent / "emulation" / "sanitized.cpp"
BARRIER = "__syncthreads();"
BARRIERS = [
    (_path(file), number)
    for file in sorted((emulation.ROOT / "csrc" / "cuda").glob("*.*"))
    for number in range(file.read_text().count(BARRIER))
]
#: Where a file of the engine says one thing, another.
MISTAKES = (
    ("csrc/cuda/sums.h", "length - before < W ? length - before : W;", "W;"),
    ("csrc/cuda/sums.h", "range >= (whole_rows ? 1", "range > (whole_rows ? 1"),
    ("csrc/cuda/store.h", "j < group.end; ++j", "j <= group.end; ++j"),
    ("csrc/cuda/combine_kernel.h", " && share.number < c.numbers", ""),
    ("csrc/cuda/combine_kernel.h", "term < c.terms", "term < c.terms - 1"),
    ("csrc/cuda/load.h", " && run.left >= W", ""),
    ("csrc/cuda/mask.h", " && run.left >= group.size()", ""),
)

EVERY_KERNEL: list[Kernel] = [] if native.core is None else native.core.kernels()


def with_few_operations(sources: emulation.Sources) -> dict[str, str]:
    """Cut down to a few operations: one has many inputs and outputs, one log sum exp, three dense
    forms, of which one makes noise."""
    path = "csrc/ops.h"
    text, n = re.subn(
        r"(void for_each_op\(Visit visit\) \{).*?(?=\n\})",
        r'\1 visit(Bernoulli{}, ""); visit(Multinomial{}, ""); '
        r"visit(Gaussian<Log>{}, Log<float>::name); visit(GaussianKL<Log>{}, Log<float>::name);"
        r"visit(Reparameterize<Log>{}, Log<float>::name);",
        sources[path],
        flags=re.DOTALL,
    )
    assert n == 1
    return {**sources, path: text}


def shape_name(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else f"{value}rows"


@pytest.fixture(scope="module")
def engine() -> ModuleType:
    return emulation.engine()


def test_the_same_kernels_as_on_the_cpu(engine: ModuleType) -> None:
    assert engine.kernels() == EVERY_KERNEL


@pytest.mark.table("shape", "in_double")
@pytest.mark.parametrize("in_double", [False, True], ids=["float", "double"])
@pytest.mark.parametrize(("shape", "row_dims"), one_row_in(4, SHAPES), ids=shape_name)
def test_odd_launches(
    shape: tuple[int, ...], row_dims: int, in_double: bool, engine: ModuleType
) -> None:
    assert next(problems(engine, shape, row_dims, in_double), "") == ""


@pytest.mark.table("kernel", "shape")
@pytest.mark.parametrize("shape", one_in(3, [(9, 70), (3, 5000), (300, 4)]), ids=shape_name)
@pytest.mark.parametrize("kernel", EVERY_KERNEL, ids=lambda kernel: "-".join(kernel[:3]))
def test_results_do_not_depend_on_the_order_of_threads(
    kernel: Kernel, shape: tuple[int, int], engine: ModuleType
) -> None:
    launch = Launch(kernel, False, shape, 1, seed=shape[0])
    found = []
    for order in ORDERS:
        run(engine, launch, order)
        found.append([bytes(result.tensor.view(torch.uint8)) for result in launch.written])
    assert all(bits == found[0] for bits in found[1:])


@pytest.mark.parametrize("shape", LARGE_SHAPES, ids=shape_name)
@pytest.mark.parametrize(
    "kernel", one_in(5, [k for k in EVERY_KERNEL if (k[0], k[2]) in DENSE]), ids=str
)
def test_large_dense_launches(kernel: Kernel, shape: tuple[int, int], engine: ModuleType) -> None:
    launch = DenseLaunch(kernel, shape, 0)
    run(engine, launch, ORDERS[0])
    launch.check()


# --- accesses that a sanitizer sees ---------------------------------------------------------------


def sanitized(sources: emulation.Sources) -> subprocess.CompletedProcess[str]:
    """Runs a range of launches, on memory of the exact size, under AddressSanitizer."""
    units = [*emulation.engine_units(parts=1)[:-1], emulation.Unit(_path(SANITIZED))]
    flags = ("-g1", "-fsanitize=address,alignment", "-fno-sanitize-recover=all")
    program = emulation.build("sanitized", with_few_operations(sources), units, flags, program=True)
    return subprocess.run([program], capture_output=True, text=True)


@pytest.mark.exhaustive
def test_no_access_outside_of_memory_or_off_its_alignment() -> None:
    done = sanitized(emulation.read_sources(SANITIZED))
    assert done.returncode == 0, done.stderr
    assert re.search(r"^[1-9]\d* problems$", done.stdout)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("old", "new", "report"),
    [
        (" && group.size() == W;", ";", "heap-buffer-overflow"),
        ("is_aligned(from, kAccess<kBytes>)", "true", "misaligned address"),
    ],
    ids=["a whole group at the edge", "16 bytes at once anywhere"],
)
def test_such_accesses_are_noticed(old: str, new: str, report: str) -> None:
    sources = emulation.read_sources(SANITIZED)
    done = sanitized(emulation.edited(sources, "csrc/cuda/load.h", old, new))
    assert done.returncode != 0
    assert report in done.stderr


# --- planted mistakes -----------------------------------------------------------------------------


def first_problem(sources: emulation.Sources) -> str:
    """Found in a process of its own, which an engine that writes anywhere may end."""
    units = emulation.engine_units(parts=1)
    engine = emulation.build("_emulated", with_few_operations(sources), units)
    search = [sys.executable, cuda_launches.__file__, str(engine)]
    done = subprocess.run(search, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stderr or f"exit status {done.returncode}"


@pytest.mark.exhaustive
def test_without_a_mistake_nothing_is_found() -> None:
    assert first_problem(emulation.read_sources()) == ""


@pytest.mark.exhaustive
@pytest.mark.parametrize(("path", "number"), BARRIERS, ids=str)
def test_every_barrier_is_needed(path: str, number: int) -> None:
    sources = emulation.read_sources()
    parts = sources[path].split(BARRIER)
    before, after = BARRIER.join(parts[: number + 1]), BARRIER.join(parts[number + 1 :])
    assert first_problem({**sources, path: before + after})


@pytest.mark.exhaustive
@pytest.mark.parametrize(("path", "old", "new"), MISTAKES, ids=lambda text: text.strip())
def test_mistakes_at_edges_are_found(path: str, old: str, new: str) -> None:
    assert first_problem(emulation.edited(emulation.read_sources(), path, old, new))
