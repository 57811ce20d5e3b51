"""Launches on tensors."""

# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
import triton.language as tl
from torch import Tensor

from vaekern._backends.launch import Bytes, Kernel, Noise, Output, PerDatapoint, Source, strides_of
from vaekern._backends.triton.loops import multiply, visit
from vaekern._backends.triton.ops import function_of
from vaekern._backends.triton.plan import (
    NARROW,
    STEPS,
    TILE,
    InputLayout,
    OutputLayout,
    Plan,
    plan_for,
)
from vaekern._backends.triton.prepared import Launch, current, index_type, layout_of, remembered
from vaekern._backends.triton.sums import Steps, memory_for_sums, prepare_sums, sum_up

Bits: TypeAlias = "tuple[tuple[int, int] | None, ...]"


class Visit(NamedTuple):
    """The launches of a kernel: the one that visits all elements and, of each output, how many
    partial sums that makes (0: none) and what adds them up."""

    elements: Launch
    # (The first argument: behind two that are None, Triton 3.5 takes a stride of 1 for None.)
    strides: tuple[tuple[int, ...], ...]
    partials: tuple[int, ...]
    sums: tuple[Steps, ...]


def run(
    kernel: Kernel,
    in_double: bool,
    shape: torch.Size,
    row_dims: int,
    inputs: Sequence[Source],
    outputs: Sequence[Output | None],
) -> None:
    """Runs a kernel over all elements of ``shape``: see ``_backends/launch.py``."""
    devices = [output.tensor.device for output in outputs if output is not None]
    if not devices:
        return
    device = devices[0]
    with current(device):
        pointers, numbers, of_inputs = read(inputs)
        of_outputs = tuple([None if o is None else _layout_of_output(o) for o in outputs])
        layout = kernel, in_double, shape, row_dims, of_inputs, of_outputs, device
        found = remembered(layout, _prepare, kernel, in_double, shape, row_dims, inputs, outputs)
        targets = [
            None if o is None else memory_for_sums(n, device) if n else o.tensor
            for o, n in zip(outputs, found.partials, strict=True)
        ]
        found.elements(found.strides, pointers, numbers, tuple(targets))
        for output, target, steps in zip(outputs, targets, found.sums, strict=True):
            if output is not None and target is not None:
                sum_up(steps, target, output.tensor)


def scale(tensors: Sequence[Tensor], factor: Tensor) -> None:
    """Multiplies contiguous tensors, in place, by a number in memory."""
    with current(factor.device):
        for tensor in tensors:
            layout = "scale", layout_of(tensor), layout_of(factor), factor.device
            remembered(layout, _prepare_scaling, tensor)(tensor, factor)


def _prepare_scaling(tensor: Tensor) -> Launch:
    n = tensor.numel()
    constants = {
        "TILE": TILE,
        "STEPS": STEPS,
        "INDEX": index_type(n > NARROW),
        "COMPUTE": tl.float64 if tensor.dtype is torch.float64 else tl.float32,
    }
    return Launch(multiply, -(-n // (TILE * STEPS)), (n,), constants)


# --- what a launch is told ------------------------------------------------------------------------


def read(inputs: Sequence[Source]) -> tuple[tuple[Tensor | None, ...], Bits, tuple[Any, ...]]:
    """Of the inputs: tensors, numbers, and a layout of each."""
    tensors: list[Tensor | None] = []
    numbers: list[tuple[int, int] | None] = []
    layouts: list[Any] = []
    for source in inputs:
        kind = ""
        if isinstance(source, Tensor):
            tensor = source
        elif isinstance(source, PerDatapoint):
            tensor, kind = source.tensor, "per datapoint"
        elif isinstance(source, Bytes):
            tensor, kind = source.tensor, source.range
        elif isinstance(source, Noise):
            tensor, kind = source.seed, "noise"
        else:
            tensors.append(None)
            numbers.append(bits_of_double(source))
            layouts.append(None)
            continue
        tensors.append(tensor)
        numbers.append(None)
        layouts.append((kind, layout_of(tensor)))
    return tuple(tensors), tuple(numbers), tuple(layouts)


def bits_of_double(number: float) -> tuple[int, int]:
    """A constant's, as a double (a launch would round a float to 32 bits), in halves that are odd
    numbers beyond 32 bits: Triton compiles in that a number is 1, that 16 divides it or that it is
    short, and would compile anew for the 1 / n of another batch."""
    low, high = struct.unpack("<II", struct.pack("<d", number))
    return 2**33 + 2 * low + 1, 2**33 + 2 * high + 1


def _layout_of_output(output: Output) -> tuple[Any, ...]:
    strides = output.row_strides
    aligned = output.tensor.data_ptr() % 16 == 0
    return output.kind, None if strides is None else tuple(strides), output.tensor.dtype, aligned


# --- what follows from it -------------------------------------------------------------------------


def _prepare(
    kernel: Kernel,
    in_double: bool,
    shape: torch.Size,
    row_dims: int,
    inputs: Sequence[Source],
    outputs: Sequence[Output | None],
) -> Visit:
    plan = plan_of(shape, row_dims, inputs, outputs)
    fixed, constants = arguments(kernel, in_double, plan, inputs)
    sums = [
        () if output is None else prepare_sums(steps, output.kind, plan.wide_index)
        for output, steps in zip(outputs, plan.add_up, strict=True)
    ]
    elements = Launch(visit, plan.programs, fixed, constants, in_double)
    return Visit(elements, plan.strides, plan.partials, tuple(sums))


def plan_of(
    shape: torch.Size,
    row_dims: int,
    inputs: Sequence[Source],
    outputs: Sequence[Output | None],
) -> Plan:
    return plan_for(
        tuple(shape),
        row_dims,
        tuple([_input_layout(source, shape) for source in inputs]),
        tuple([_output_layout(output) for output in outputs]),
    )


def _input_layout(source: Source, shape: torch.Size) -> InputLayout:
    if isinstance(source, (Tensor, PerDatapoint, Bytes)):
        return strides_of(source, shape)
    return "noise" if isinstance(source, Noise) else "constant"


def _output_layout(output: Output | None) -> OutputLayout:
    if output is None:
        return None
    strides = output.row_strides
    return output.kind, None if strides is None else tuple(strides)


def arguments(
    kernel: Kernel, in_double: bool, plan: Plan, inputs: Sequence[Source]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Of ``visit``: what a launch is told behind its tensors, and what is compiled in."""
    function = function_of(kernel)
    fixed = plan.inner_sizes, plan.rows, plan.cols, plan.steps
    constants = {
        "VALUE": function.value,
        "VJP": function.vjp,
        "SCALE": function.scale,
        "MASKED": len(inputs) > function.n_inputs,
        "INPUT_KINDS": plan.input_kinds,
        "UINT8": tuple([s.range if isinstance(s, Bytes) else "unit" for s in inputs]),
        "VARIES": plan.varies,
        "OUTPUT_KINDS": plan.output_kinds,
        "SUMMED": plan.summed,
        "ROW_DIMS": plan.row_dims,
        "MULTIPLE": plan.multiple,
        "DOWN": plan.down,
        "ONE_STEP": plan.steps == 1 and not plan.down,  # of columns: where there are few rows
        "R": plan.tile_rows,
        "C": plan.tile_cols,
        "INDEX": index_type(plan.wide_index),
        "COMPUTE": tl.float64 if in_double else tl.float32,
    }
    return fixed, constants
