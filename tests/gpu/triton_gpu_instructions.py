"""Instructions per element of the Triton kernels that training steps launch, counted as
``gpu_instructions.py`` counts those of the CUDA kernels, for the same launches: the machine code
for sm_90 that Triton makes of them is followed with the arguments that reach the driver.

``python tests/gpu/triton_gpu_instructions.py`` writes the table beside this file; names of
operations restrict it to them, and print. No GPU is needed, and none has run it.
"""

from __future__ import annotations

import csv
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import sass
import torch
import triton
from gpu_instructions import LAUNCHES, OPERATIONS, Count, Launch
from gpu_rates import Pipes, by_pipe
from sass_registers import parameters
from sass_thread import follow
from torch import Tensor
from triton_jit import CUBIN, Launched, Real

from vaekern._backends.launch import ELEMENTS, ROW_SUM, Kernel, Noise, Output, PerDatapoint, Source
from vaekern._backends.triton import BACKEND
from vaekern._backends.triton.launch import plan_of
from vaekern._backends.triton.plan import Plan

TABLE = Path(__file__).with_suffix(".csv")
DTYPES = {"float32": "f32", "bfloat16": "bf16"}
TORCH_DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "u8": torch.uint8}
LANES = (0, 5, 31)  # of a warp, which issues what any of them does
WARP = 32


def _source(text: str, rows: int, cols: int) -> Source:
    if text == "constant":
        return -1.0 / rows
    if text == "noise":
        return Noise(torch.zeros(2, dtype=torch.int64))
    dtype, lies = text.split(":")

    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=TORCH_DTYPES[dtype])

    if lies == "row":
        return PerDatapoint(empty(rows))
    if lies == "one":
        return empty()
    if lies == "half":
        return empty(rows, 2 * cols)[:, :cols]
    if lies == "odd":
        return empty(rows * cols + 1)[1:].view(rows, cols)
    return empty(rows, cols)


def _output(text: str, rows: int, cols: int) -> Output | None:
    if text == "discard":
        return None
    kind, dtype = text.split(":")
    if kind == "elements":
        return Output(ELEMENTS, torch.empty(rows, cols, dtype=TORCH_DTYPES[dtype]), None)
    if kind == "all":
        return Output(ROW_SUM, torch.empty((), dtype=TORCH_DTYPES[dtype]), (0,))
    return Output(ROW_SUM, torch.empty(rows, dtype=TORCH_DTYPES[dtype]), None)


def _kernel(launch: Launch) -> Kernel:
    scaled = '""' not in OPERATIONS[launch.operation]
    return launch.operation, "logvar" if scaled else "", launch.variant


def packed(launched: Launched) -> bytes:
    """The arguments as a kernel finds them: those that are not compiled in, one after the other."""
    found = b""

    def add(kind: Any, arg: Any) -> None:
        nonlocal found
        if isinstance(kind, tuple):
            for each in zip(kind, arg, strict=True):
                add(*each)
        elif kind != "constexpr":
            pointer = kind.startswith("*")
            size = 8 if pointer or kind == "i64" else 4
            address = (arg[-1] or 0) if pointer else arg
            found += b"\0" * (-len(found) % size) + address.to_bytes(size, "little", signed=True)

    add(launched.types, launched.args)
    return found


def launched_by(real: Real, launch: Launch, dtype: str) -> tuple[Launched, Plan, int]:
    """What visits the elements, how they are cut, and the bytes that are moved for one."""
    operands = launch.operands.format(d=DTYPES[dtype], l=launch.lies())
    before, after = (each.split() for each in operands.split(" / "))
    shape = torch.Size(launch.shape)
    inputs = [_source(text, *shape) for text in before]
    outputs = [_output(text, *shape) for text in after]
    with real.compiling(90, CUBIN):
        BACKEND.run(_kernel(launch), False, shape, 1, inputs, outputs)
        launched = real.driver.launches[0]
    tensors = [*inputs, *(output.tensor for output in outputs if output is not None)]
    full = [t for t in tensors if isinstance(t, Tensor) and t.shape == shape]
    plan = plan_of(shape, 1, inputs, outputs)
    return launched, plan, sum(t.element_size() for t in full)


def count(real: Real, launch: Launch, dtype: str) -> Count:
    launched, plan, moved = launched_by(real, launch, dtype)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(launched.code)
        file.flush()
        (kernel,) = sass.read_named(Path(file.name)).values()
    threads = WARP * launched.warps
    bank = parameters(packed(launched), threads)
    assert not plan.down
    across = -(-plan.cols // (plan.tile_cols * plan.steps))
    one_row = plan.rows == 1  # all elements are columns, of which the blocks are alike
    blocks = range(1, 2) if one_row else range(across, 2 * across)
    issued: Counter[str] = Counter()
    for block in blocks:
        for first in range(0, threads, WARP):
            lanes = (follow(kernel, bank, first + lane, block) for lane in LANES)
            issued += by_pipe(max(lanes, key=len))
    elements = plan.tile_rows * (plan.tile_cols * plan.steps if one_row else plan.cols)
    pipes = Pipes(*(issued[pipe] * WARP / elements for pipe in Pipes._fields))
    return Count(launch, dtype, moved, pipes)


def counts(operations: Iterable[str]) -> Iterator[Count]:
    real, operations = Real(), list(operations)
    for launch in LAUNCHES:
        if launch.operation in operations:
            for dtype in DTYPES:
                if (launch.layout, dtype) != ("float targets", "float32"):  # "dense" is that
                    yield count(real, launch, dtype)


def row_of(found: Count) -> dict[str, object]:
    row = found.row()
    del row["cuda"]
    return {"triton": triton.__version__, **row}


def main(operations: list[str]) -> None:
    rows = map(row_of, counts(operations or OPERATIONS))
    if operations:
        for row in rows:
            print(*row.values(), sep=",", flush=True)
        return
    first = next(rows)
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(first), lineterminator="\n")
        writer.writeheader()
        writer.writerow(first)
        writer.writerows(rows)


if __name__ == "__main__":
    main(sys.argv[1:])
