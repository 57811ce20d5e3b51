"""What the Triton kernels take of a GPU: registers, stack (spilled registers go there) and shared
memory, and how many of their loads are 16 bytes wide.

``python tests/gpu/triton_resources.py`` compiles every operation for several architectures, in
its main specialisation (dense float32, log-variances), and writes ``triton_resources.csv`` beside
this file. Names of kernels restrict it to them, and print. No GPU is needed, and none is measured.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
import triton
from triton_aot import ARCHITECTURES, compiled

from vaekern._backends.launch import (
    ELEMENTS,
    ROW_LOG_SUM_EXP,
    ROW_SUM,
    Noise,
    Output,
    PerDatapoint,
    Source,
)
from vaekern._backends.native import KERNELS
from vaekern._ops.elementwise import DATAPOINT, Op
from vaekern._ops.table import OPS

TABLE = Path(__file__).with_suffix(".csv")
COLUMNS = ("kernel", "arch", "triton", "registers", "stack", "shared", "wide_loads")
SHAPE = torch.Size((512, 3136))

_CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"

Launch = tuple[list[Source], list[Output | None]]


def names() -> list[str]:
    return [f"{op.name}.{variant}" for op in OPS for variant in _launches(op)]


def _full() -> torch.Tensor:
    return torch.empty(SHAPE, device="meta")


def _launches_with_rows(op: Op) -> dict[str, Launch]:
    """Those of ``vaekern/_ops/rows.py``."""

    def row() -> Source:
        return torch.empty((SHAPE[0], 1), device="meta")

    per_row = torch.empty(SHAPE[:1], device="meta")
    log_sum_exp = Output(ROW_LOG_SUM_EXP, per_row, None)
    gradient, upstream = Output(ELEMENTS, _full(), None), PerDatapoint(per_row)
    if op.name == "categorical_log_likelihood":
        vjp: Launch = [upstream, _full(), row(), row()], [gradient]
        return {"value": ([_full()], [log_sum_exp]), "vjp": vjp}
    total = Output(ROW_SUM, per_row, None)
    vjp = [upstream, row(), _full(), _full(), row(), row()], [gradient, None]
    return {"value": ([_full(), _full()], [total, total, log_sum_exp]), "vjp": vjp}


def _launches(op: Op) -> dict[str, Launch]:
    """Of each variant, as a training step makes them."""
    if op.kept:
        return _launches_with_rows(op)

    def sources(numbers: Iterable[int]) -> list[Source]:
        seed = torch.empty(2, dtype=torch.int64, device="meta")
        return [Noise(seed) if op.inputs[k] == "noise" else _full() for k in numbers]

    per_row = torch.empty(SHAPE[:1], device="meta")
    results = [
        Output(ROW_SUM, per_row, None) if kind is DATAPOINT else Output(ELEMENTS, _full(), None)
        for kind in op.results
    ]
    upstream: list[Source] = [
        PerDatapoint(per_row) if kind is DATAPOINT else _full() for kind in op.results
    ]
    everything = range(len(op.inputs))
    told = list(op.told(*[0.5] * len(op.numbers)))
    gradients = [
        None if op.inputs[k] == "noise" else Output(ELEMENTS, _full(), None) for k in op.vjp_inputs
    ]
    return {
        "value": (sources(everything) + told, results),
        "vjp": (upstream + sources(op.vjp_inputs) + told, gradients),
        "value_and_vjp": ([-0.5, *sources(everything), *told], results + gradients),
    }


def rows(wanted: Iterable[str], architectures: Iterable[int]) -> Iterator[dict[str, Any]]:
    for op in OPS:
        for variant, (inputs, outputs) in _launches(op).items():
            key = op.name, "logvar" if op.scaled else "", variant
            if f"{op.name}.{variant}" not in wanted or key not in KERNELS:
                continue
            for arch in architectures:
                kernel = compiled(key, SHAPE, 1, inputs, outputs, arch)
                yield {
                    "kernel": f"{op.name}.{variant}",
                    "arch": f"sm_{arch}",
                    "triton": triton.__version__,
                    **_resources(kernel),
                }


def _resources(kernel: Any) -> dict[str, int]:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        command = [_CUOBJDUMP, "-res-usage", file.name]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", listed)
    assert found is not None, listed
    return {
        "registers": int(found[1]),
        "stack": int(found[2]),
        "shared": kernel.metadata.shared,
        "wide_loads": len(re.findall(r"ld\.global(?:\.\w+)*\.v4\.[bf]32", kernel.asm["ptx"])),
    }


def main(wanted: list[str]) -> None:
    if wanted:
        writer = csv.DictWriter(sys.stdout, COLUMNS)
        writer.writeheader()
        writer.writerows(rows(wanted, ARCHITECTURES))
        return
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows(names(), ARCHITECTURES))


if __name__ == "__main__":
    main(sys.argv[1:])
