"""Launches on tensors."""

# mypy: disable-error-code="import-untyped, import-not-found"

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from vaekern._backends.launch import Bytes, Kernel, Noise, Output, PerDatapoint, Source, strides_of
from vaekern._backends.triton.loops import add_up, multiply, visit
from vaekern._backends.triton.ops import function_of
from vaekern._backends.triton.plan import (
    NARROW,
    ROW_LOG_SUM_EXP,
    STEPS,
    TILE,
    AddUp,
    InputLayout,
    OutputLayout,
    Plan,
    plan_for,
)

#: Whether Triton's interpreter runs the kernels, on the CPU.
INTERPRETED = not isinstance(visit, triton.JITFunction)


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
    plan = plan_of(shape, row_dims, inputs, outputs)
    with _current(device):
        targets = _targets(plan, outputs, device)
        args, constants = arguments(kernel, in_double, plan, inputs, targets)
        visit[(plan.programs,)](*args, **constants, **options(in_double))
        for output, target, steps in zip(outputs, targets, plan.add_up, strict=True):
            for step in steps:
                assert output is not None
                assert target is not None
                target = _add_up(step, target, output, plan.wide_index)


def scale(tensors: Sequence[Tensor], factor: Tensor) -> None:
    """Multiplies contiguous tensors, in place, by a number in memory."""
    with _current(factor.device):
        for tensor in tensors:
            n = tensor.numel()
            multiply[(-(-n // (TILE * STEPS)),)](
                tensor,
                factor,
                n,
                TILE=TILE,
                STEPS=STEPS,
                INDEX=_index(n > NARROW),
                COMPUTE=tl.float64 if tensor.dtype is torch.float64 else tl.float32,
                **options(False),
            )


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


def _current(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Triton launches on the current device, which is not always that of the tensors."""
    if device.type == "cpu" and not INTERPRETED:
        raise RuntimeError(
            "backend 'triton' runs on a GPU; on CPU tensors only in Triton's interpreter, "
            "with TRITON_INTERPRET=1 set before its first use"
        )
    if device.type == "cpu" or device.index == torch.cuda.current_device():
        return contextlib.nullcontext()
    return torch.cuda.device(device)


def _targets(
    plan: Plan, outputs: Sequence[Output | None], device: torch.device
) -> list[Tensor | None]:
    """What the elements' kernel writes to: the outputs, or memory for partial sums."""
    return [
        output
        if output is None
        else torch.empty(n, dtype=torch.float64, device=device)
        if n
        else output.tensor
        for output, n in zip(outputs, plan.partials, strict=True)
    ]


def arguments(
    kernel: Kernel,
    in_double: bool,
    plan: Plan,
    inputs: Sequence[Source],
    targets: Sequence[Tensor | None],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Of ``visit``: those of a launch, and those that are compiled in."""
    function = function_of(kernel)
    args = (
        tuple([_pointer(source) for source in inputs]),
        plan.strides,
        tuple([_bits(source) for source in inputs]),
        tuple(targets),
        plan.inner_sizes,
        plan.rows,
        plan.cols,
        plan.steps,
    )
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
        "INDEX": _index(plan.wide_index),
        "COMPUTE": tl.float64 if in_double else tl.float32,
    }
    return args, constants


def options(in_double: bool) -> dict[str, Any]:
    """Multiplications and additions are fused only where the mathematics says so."""
    return {"num_warps": 8 if in_double else 4, "enable_fp_fusion": False}


def _pointer(source: Source) -> Tensor | None:
    if isinstance(source, Tensor):
        return source
    if isinstance(source, (PerDatapoint, Bytes)):
        return source.tensor
    return source.seed if isinstance(source, Noise) else None


def _bits(source: Source) -> tuple[int, int] | None:
    """A constant's, as a double (a launch would round a float to 32 bits), in halves that are odd
    numbers beyond 32 bits: Triton compiles in that a number is 1, that 16 divides it or that it is
    short, and would compile anew for the 1 / n of another batch."""
    if isinstance(source, (Tensor, PerDatapoint, Bytes, Noise)):
        return None
    low, high = struct.unpack("<II", struct.pack("<d", source))
    return 2**33 + 2 * low + 1, 2**33 + 2 * high + 1


def _index(wide: bool) -> Any:
    return tl.int64 if wide else tl.int32


def _add_up(step: AddUp, partial: Tensor, output: Output, wide_index: bool) -> Tensor:
    """Where the sums are: in ``output``, or in further partial sums."""
    sums = output.tensor
    if step.splits > 1:
        sums = partial.new_empty(step.n_kept * step.splits)
    add_up[(step.programs,)](
        partial,
        sums,
        step.kept.sizes[1:],
        step.kept.strides[0],
        step.summed.sizes[1:],
        step.summed.strides[0],
        step.n_kept,
        step.n_summed,
        step.chunk,
        N=step.n_block,
        S=step.s_block,
        INDEX=_index(wide_index),
        LOG_SUM_EXP=output.kind == ROW_LOG_SUM_EXP,
        **options(False),
    )
    return sums
