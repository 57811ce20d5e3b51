"""Triton kernels compiled for a GPU without one, exactly as a launch would specialise them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from vaekern._backends.launch import Kernel, Output, Source
from vaekern._backends.triton.launch import arguments, plan_of, read
from vaekern._backends.triton.loops import visit
from vaekern._backends.triton.prepared import options

ARCHITECTURES = (80, 90, 100)

_POINTERS = {
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.uint8: "*u8",
    torch.bool: "*i1",
    torch.int64: "*i64",
}


def compiled(
    kernel: Kernel,
    shape: Sequence[int],
    row_dims: int,
    inputs: Sequence[Source],
    outputs: Sequence[Output | None],
    arch: int,
) -> Any:
    """The kernel that the launch would run on a GPU of an architecture. Tensors may be meta."""
    in_double = any(isinstance(t, Tensor) and t.dtype is torch.float64 for t in inputs)
    plan = plan_of(torch.Size(shape), row_dims, inputs, outputs)
    targets = [
        None if o is None else o.tensor.double() if n else o.tensor
        for o, n in zip(outputs, plan.partials, strict=True)
    ]
    pointers, numbers, _ = read(inputs)
    fixed, constants = arguments(kernel, in_double, plan, inputs)
    source = _source((plan.strides, pointers, numbers, tuple(targets), *fixed), constants)
    return triton.compile(source, target=GPUTarget("cuda", arch, 32), options=options(in_double))


def _source(args: tuple[Any, ...], constants: dict[str, Any]) -> ASTSource:
    """What Triton specialises on: types, numbers that are 1, and those that 16 divides."""
    names = list(visit.arg_names)
    fixed: dict[tuple[int, ...], Any] = {}
    divisible: dict[tuple[int, ...], list[list[Any]]] = {}

    def type_of(arg: Any, path: tuple[int, ...]) -> Any:
        if isinstance(arg, tuple):
            return tuple(type_of(a, (*path, k)) for k, a in enumerate(arg))
        if isinstance(arg, Tensor):
            divisible[path] = [["tt.divisibility", 16]]
            return _POINTERS[arg.dtype]
        specialised = not visit.params[path[0]].do_not_specialize
        if arg is None or (arg == 1 and specialised):
            fixed[path] = arg
            return "constexpr"
        if arg % 16 == 0 and specialised:
            divisible[path] = [["tt.divisibility", 16]]
        return "i32" if -(2**31) <= arg < 2**31 else "i64"

    signature = {
        name: type_of(arg, (k,)) for k, (name, arg) in enumerate(zip(names, args, strict=False))
    }
    for name, value in constants.items():
        signature[name] = "constexpr"
        fixed[(names.index(name),)] = value
    return ASTSource(visit, signature, fixed, divisible)
