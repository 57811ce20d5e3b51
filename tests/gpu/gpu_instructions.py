"""Instructions per element of the CUDA kernels that training steps launch, counted by following
threads through their machine code for sm_90, with the arguments that the library makes for such
launches; and the share of a copy's bandwidth that this predicts for some GPUs. No GPU has run it.

``python tests/gpu/gpu_instructions.py`` compiles the kernels and writes the table beside this file;
with names of operations, it prints those rows. It needs nvcc and cuobjdump.
"""

from __future__ import annotations

import csv
import functools
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import cuda_emulation as emulation
import cuda_resources
import sass
from gpu_rates import GPUS, Pipes, by_pipe, predicted_share
from sass_registers import parameters
from sass_thread import follow

TABLE = Path(__file__).with_suffix(".csv")
PROGRAM = Path(__file__).with_name("launch_arguments.cpp")
NVCC = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")

OPERATIONS = {
    "bernoulli_log_likelihood": 'Bernoulli{}, ""',
    "gaussian_log_likelihood": 'Gaussian<Log>{}, "log"',
    "reparameterize": 'Reparameterize<Log>{}, "log"',
    "sample_with_standard_kl": 'SampleStandardKL<Log>{}, "log"',
    "standard_kl": 'StandardKL<Log>{}, "log"',
}
_IMAGES, _LATENTS = (8192, 784), (65536, 128)
_BYTES = {"f32": 4, "bf16": 2, "u8": 1}
_DTYPES = {"float32": "f32", "bfloat16": "bf16"}
KEY = ("operation", "variant", "layout", "dtype")
#: Of the threads of a warp: the first, the last, one between. A warp issues what any of them does.
_LANES = (0, 5, 31)


class Launch(NamedTuple):
    """``operands`` as ``launch_arguments`` reads them: {d} stands for the dtype, {l} for how
    tensors lie."""

    operation: str
    variant: str
    layout: str
    shape: tuple[int, int]
    operands: str

    def lies(self) -> str:
        return self.layout if self.layout in ("half", "odd") else "dense"

    def of(self, dtype: str) -> list[str]:
        return self.operands.format(d=_DTYPES[dtype], l=self.lies()).split()


def _launches() -> Iterator[Launch]:
    def images(operation: str, layout: str, x: str, *more: str) -> Iterator[Launch]:
        scales = "".join(f" {scale}" for scale in more)
        inputs = f"{{d}}:dense{scales} {x}"
        row = "f32:row" in more or "{d}:one" in more
        ds = " all:f32" if row else " elements:{d}" if more else ""
        for variant, before, after in (
            ("value", "", "rows:f32"),
            ("vjp", "f32:row ", f"elements:{{d}}{ds} discard"),
            ("value_and_vjp", "constant ", f"rows:f32 elements:{{d}}{ds} discard"),
        ):
            yield Launch(operation, variant, layout, _IMAGES, f"{before}{inputs} / {after}")

    def latents(operation: str, *variants: tuple[str, str]) -> Iterator[Launch]:
        for layout in ("dense", "half", "odd"):
            for variant, operands in variants:
                yield Launch(operation, variant, layout, _LATENTS, operands)

    for layout, x in (
        ("dense", "{d}:dense"),
        ("float targets", "f32:dense"),
        ("bytes", "u8:dense"),
    ):
        yield from images("bernoulli_log_likelihood", layout, x)
        yield from images("gaussian_log_likelihood", layout, x, "{d}:dense")
    yield from images("gaussian_log_likelihood", "one scale", "{d}:dense", "{d}:one")
    two = "{d}:{l} {d}:{l}"
    yield from latents(
        "reparameterize",
        ("value", f"{two} noise / elements:{{d}}"),
        ("vjp", "{d}:dense {d}:{l} noise / elements:{d} discard"),
    )
    yield from latents(
        "sample_with_standard_kl",
        ("value", f"{two} noise / elements:{{d}} rows:f32"),
        ("vjp", f"{{d}}:dense f32:row {two} noise / elements:{{d}} elements:{{d}} discard"),
    )
    yield from latents(
        "standard_kl",
        ("value", f"{two} / rows:f32"),
        ("vjp", f"f32:row {two} / elements:{{d}} elements:{{d}}"),
        ("value_and_vjp", f"constant {two} / rows:f32 elements:{{d}} elements:{{d}}"),
    )


LAUNCHES = tuple(_launches())


@functools.cache
def cuda_version() -> str:
    """Of nvcc, "13.0"; empty where there is none. Each makes other machine code."""
    if NVCC is None:
        return ""
    text = subprocess.run([NVCC, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"release ([\d.]+)", text)
    return found[1] if found else ""


class Plan(NamedTuple):
    """Which kernel a launch runs, on how many blocks of how many threads and elements, and what it
    is told."""

    kernel: str
    blocks: int
    threads: int
    elements: int
    arguments: bytes


class Count(NamedTuple):
    launch: Launch
    dtype: str
    bytes: int
    pipes: Pipes

    def row(self) -> dict[str, object]:
        launch = self.launch
        return {
            "cuda": cuda_version(),
            "operation": launch.operation,
            "variant": launch.variant,
            "layout": launch.layout,
            "dtype": self.dtype,
            "bytes": self.bytes,
            "instructions": f"{self.pipes.issued():.1f}",
            **{name: f"{count:.1f}" for name, count in self.pipes._asdict().items()},
            **{
                f"predicted share {gpu.name}": f"{predicted_share(gpu, self.pipes, self.bytes):.2f}"
                for gpu in GPUS
            },
        }


def compile_kernels(operations: Iterable[str], folder: Path) -> Path:
    """A cubin for sm_90 of these operations alone, with the flags of the library's build."""
    sources = emulation.read_sources()
    visits = " ".join(f"visit({OPERATIONS[name]});" for name in operations)
    sources["csrc/ops.h"], n = re.subn(
        r"(void for_each_op\(Visit visit\) \{).*?(?=\n\})",
        lambda found: f"{found[1]} {visits}",
        sources["csrc/ops.h"],
        flags=re.DOTALL,
    )
    assert n == 1
    for path, text in sources.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    defined = ("-DVK_TARGET=gpu", "-DVK_CUDA_PARTS=1", "-DVK_CUDA_PART=0")
    options = ("-std=c++20", "--fmad=false", *defined, "-arch=sm_90", "-cubin")
    result = folder / "kernels.cubin"
    assert NVCC is not None
    command = [NVCC, *options, "-o", str(result), "csrc/cuda/kernels.cu"]
    subprocess.run(command, cwd=folder, check=True)
    return result


def compile_program() -> Path:
    """``launch_arguments``, of the sources as they are."""
    sources = emulation.read_sources(PROGRAM)
    unit = emulation.Unit(str(PROGRAM.relative_to(emulation.ROOT)), ("-include", "emulation.h"))
    flags = ("-UVK_TARGET", "-DVK_TARGET=gpu", "-I.")
    return emulation.build(
        "launch_arguments", sources, [unit, *emulation.MACHINE], flags, program=True
    )


def plan(program: Path, launch: Launch, dtype: str) -> Plan:
    shape = map(str, launch.shape)
    command = [str(program), launch.operation, launch.variant, *shape, *launch.of(dtype)]
    made = subprocess.run(command, check=True, capture_output=True)
    name, *numbers = made.stderr.decode().split()
    return Plan(cuda_resources.readable_arguments(name), *map(int, numbers), made.stdout)


def count(kernels: Mapping[str, sass.Kernel], program: Path, launch: Launch, dtype: str) -> Count:
    made = plan(program, launch, dtype)
    kernel = kernels["tile_kernel " + made.kernel]
    bank, block = parameters(made.arguments, made.threads), min(1, made.blocks - 1)
    issued: Counter[str] = Counter()
    for first in range(0, made.threads, 32):
        lanes = (follow(kernel, bank, first + lane, block) for lane in _LANES)
        issued += by_pipe(max(lanes, key=len))
    moved = sum(
        _BYTES[word]
        for operand in launch.of(dtype)
        if operand.endswith((":dense", ":half", ":odd")) or operand.startswith("elements:")
        for word in operand.split(":")
        if word in _BYTES
    )
    pipes = Pipes(*(issued[pipe] * 32 / made.elements for pipe in Pipes._fields))
    return Count(launch, dtype, moved, pipes)


def counts(operations: Iterable[str]) -> Iterator[Count]:
    operations = list(operations)
    program = compile_program()
    with tempfile.TemporaryDirectory() as folder:
        kernels = sass.read(compile_kernels(operations, Path(folder)))
    for launch in LAUNCHES:
        if launch.operation in operations:
            for dtype in _DTYPES:
                if (launch.layout, dtype) != ("float targets", "float32"):  # "dense" is that
                    yield count(kernels, program, launch, dtype)


def read_table() -> dict[tuple[str, ...], dict[str, str]]:
    """Rows by operation, variant, layout and dtype; none if they are of another version of nvcc."""
    with TABLE.open(newline="") as file:
        return {
            tuple(row[name] for name in KEY): row
            for row in csv.DictReader(file)
            if row["cuda"] == cuda_version()
        }


def main(operations: list[str]) -> None:
    if operations:
        for found in counts(operations):
            print(*found.row().values(), sep=",")
        return
    rows = [found.row() for found in counts(OPERATIONS)]
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
