"""The instructions of the CUDA kernels whose results need a word: approximate ones, those that
flush subnormals to zero, and fused multiply-adds. In PTX, which is what the compiler asks for and
whose manual says what comes out, and in machine code, where the assembler has spelt out divisions
and roots. ``python tests/gpu/cuda_machine_code.py`` rewrites the table beside this file from the
installed extension; the test suite compares the two.
"""

from __future__ import annotations

import csv
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cuda_resources

TABLE = Path(__file__).with_suffix(".csv")
#: Of the machine code that is looked at. All generations are assembled from the same PTX.
ARCHITECTURE = "sm_90"

_HEADER = ("cuda", "kernel", "code", "instructions")
_PTX = re.compile(r"^\s*(?:@!?%p\d+\s+)?([a-z][\w.]*\.[\w.]+)\s")
_SASS = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)")
_LISTED = re.compile(r"approx|ftz|^fma\.|^MUFU|^[FD]FMA")

_ARITHMETIC = ("add", "sub", "mul", "mad", "fma", "div", "rcp", "sqrt")
_FLOATS = {"f16", "f16x2", "bf16", "bf16x2", "f32", "f64"}
_SAID = {"rn", "approx"}  # the latter is found, too

#: By kernel, how often which instruction.
Instructions = dict[str, Counter[str]]


def of_ptx(text: str) -> dict[str, Instructions]:
    """All instructions of PTX, with their modifiers, by the code's name: "ptx sm_120"."""
    found: dict[str, Instructions] = {}
    for line in text.splitlines():
        if target := re.match(r"\.target (\w+)", line):
            kernels = found.setdefault(f"ptx {target[1]}", {})
        elif entry := re.search(r"\.entry (\w+)", line):
            kernel = kernels.setdefault(cuda_resources.readable(entry[1]), Counter())
        elif instruction := _PTX.match(line):
            kernel[instruction[1]] += 1
    return found


def of_sass(text: str) -> Instructions:
    found: Instructions = {}
    for line in text.splitlines():
        if function := re.match(r"\s*Function : (\w+)", line):
            kernel = found.setdefault(cuda_resources.readable(function[1]), Counter())
        elif instruction := _SASS.match(line):
            kernel[instruction[1]] += 1
    return found


def measure(tool: str, extension: Path) -> dict[str, Instructions]:
    """The PTX and machine code of all kernels in an extension module, as far as they are there."""

    def dump(*options: str) -> str:
        command = [tool, *options, str(extension)]
        return subprocess.run(command, capture_output=True, text=True).stdout

    machine_code = of_sass(dump("--dump-sass", "--gpu-architecture", ARCHITECTURE))
    return {**of_ptx(dump("--dump-ptx")), **({ARCHITECTURE: machine_code} if machine_code else {})}


def listed(measured: dict[str, Instructions]) -> dict[tuple[str, str], str]:
    """What the table says of each (kernel, code): "fma.rn.f32:12 fma.rn.f64:3"."""
    return {
        (kernel, code): " ".join(
            f"{name}:{count}"
            for name, count in sorted(instructions.items())
            if _LISTED.search(name)
        )
        for code, kernels in measured.items()
        for kernel, instructions in kernels.items()
    }


def unrounded(instructions: Counter[str]) -> Iterator[str]:
    """Arithmetic of which PTX does not say that it rounds to nearest: the assembler may fuse it."""
    for name in instructions:
        operation, *modifiers = name.split(".")
        if operation in _ARITHMETIC and _FLOATS & {*modifiers} and not _SAID & {*modifiers}:
            yield name


def read(cuda: int) -> dict[tuple[str, str], str]:
    """The table of a CUDA version, empty if it is of another."""
    with TABLE.open(newline="") as file:
        return {
            (row["kernel"], row["code"]): row["instructions"]
            for row in csv.DictReader(file)
            if int(row["cuda"]) == cuda
        }


def write(measured: dict[str, Instructions], cuda: int) -> None:
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        writer.writerows((cuda, *key, said) for key, said in sorted(listed(measured).items()))


if __name__ == "__main__":
    from vaekern import _core

    dumper = cuda_resources.tool()
    if dumper is None:
        raise SystemExit("needs cuobjdump")
    write(measure(dumper, Path(_core.__file__)), _core.cuda["version"])
