"""The floating-point instructions of the Triton kernels, as Triton hands them to the assembler.

``python tests/gpu/triton_instructions.py`` compiles every kernel of the list in float32 and
float64, in its main specialisation, and writes ``triton_instructions.csv`` beside this file.
Numbers on the command line restrict it to those kernels of the list, and print. No GPU is needed.

An fma that is not in ``fma_written`` is the CUDA library's, in its exponential and logarithm of
float64. The assembler is told not to fuse, and expands divisions and square roots that are rounded
correctly into instructions of its own, which are not listed.
"""

from __future__ import annotations

import csv
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from triton_jit import PTX, Real, find_helpers

TABLE = Path(__file__).with_suffix(".csv")
COLUMNS = ("kernel", "dtype", "triton", "fma_written", "fma", "instructions")
DTYPES = ("float32", "float64")
ARCH = 90
THREADS = {"float32": 128, "float64": 256}
TYPES = {"float32": "f32", "float64": "f64"}

_INSTRUCTION = re.compile(
    r"^\s+(?:@%?!?\w+ )?([a-z]\w*(?:\.\w+)*\.(?:f16|bf16|f32|f64)\w*)\b", re.M
)
_FMA = re.compile(r"= math\.fma .*: (?:tensor<([\dx]+)x)?(f32|f64)")


def kernels() -> list[tuple[str, str, str]]:
    """Those of the list; log-variances stand for logarithms of deviations, too."""
    from vaekern._backends.native import KERNELS

    return [kernel for kernel in KERNELS if kernel[1] != "log_std"]


def rows(numbers: Iterable[int]) -> Iterator[dict[str, Any]]:
    import triton
    import triton_jit_launches

    real = Real()
    for number in numbers:
        op, scale, variant = kernels()[number]
        for dtype in DTYPES:
            with real.compiling(ARCH, PTX):
                triton_jit_launches.instructions(real, op, scale, variant, dtype)
            first = real.files[0]  # what follows adds up partial sums
            ptx, ttir = (Path(first[stage]).read_text() for stage in ("ptx", "ttir"))
            found = Counter(_INSTRUCTION.findall(ptx))
            yield {
                "kernel": ".".join(filter(None, (op, scale, variant))),
                "dtype": dtype,
                "triton": triton.__version__,
                "fma_written": _written(ttir, dtype),
                "fma": found["fma.rn." + TYPES[dtype]],
                "instructions": " ".join(sorted(found)),
            }


def _written(ttir: str, dtype: str) -> int:
    """How many fma of a dtype the library's code asks for, in each thread."""
    sizes = [shape.split("x") for shape, kind in _FMA.findall(ttir) if kind == TYPES[dtype]]
    elements = [math.prod(map(int, filter(None, each))) for each in sizes]
    return sum(max(1, n // THREADS[dtype]) for n in elements)


def main(wanted: list[str]) -> None:
    if wanted:
        writer = csv.DictWriter(sys.stdout, COLUMNS)
        writer.writeheader()
        writer.writerows(rows(map(int, wanted)))
        return
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows(range(len(kernels()))))


if __name__ == "__main__":
    find_helpers()
    main(sys.argv[1:])
