"""The compiled extension, if there is one: loading it, and what it is told of tensors."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch  # first: the extension then shares torch's OpenMP runtime
from torch import Tensor

from vaekern._backends.launch import (
    Bytes,
    Kernel,
    Mixture,
    Noise,
    Output,
    PerDatapoint,
    Softmax,
    Source,
    strides_of,
)

ISA_VARIABLE = "VAEKERN_CPU_ISA"
CACHE_VARIABLE = "VAEKERN_CACHE_MIB"

#: As in csrc/launch.h.
DTYPES = {
    torch.float32: 0,
    torch.float64: 1,
    torch.bfloat16: 2,
    torch.float16: 3,
    torch.uint8: 4,
    torch.bool: 5,
}
_SEED = 0  # its dtype is known
UINT8 = {"unit": 4, "signed": 6, "count": 7}


def _load() -> tuple[ModuleType | None, str]:
    try:
        extension = importlib.import_module("vaekern._core")
    except ImportError as error:
        return None, f"the compiled extension cannot be loaded ({error})"
    isa = os.environ.get(ISA_VARIABLE)
    if isa:
        usable = extension.usable_isas()
        if isa not in usable:
            raise ValueError(
                f"{ISA_VARIABLE}={isa!r}: expected one of {usable}, the instruction sets that "
                "were compiled and that this machine runs"
            )
        extension.use_isa(isa)
    cache = os.environ.get(CACHE_VARIABLE, "1024")
    if not cache.isdecimal():
        raise ValueError(f"{CACHE_VARIABLE}={cache!r}: expected a number of MiB, 0 for none")
    extension.keep_at_most(int(cache) << 20)
    return extension, ""


core, why_missing = _load()
if core is None:
    warnings.warn(
        f"vaekern runs on its pure PyTorch reference: {why_missing}. "
        "Reinstall with a C++ compiler for the fast kernels.",
        RuntimeWarning,
        stacklevel=2,
    )

#: What is known of the CUDA kernels: None where they were not compiled.
cuda: dict[str, Any] | None = getattr(core, "cuda", None)

#: The scales that a kernel serves, by what it calls its own, each with the factor that a launch
#: hands it (csrc/math/scale.h).
SERVED = {"": {"": 1.0}, "log": {"logvar": 1.0, "log_std": 2.0}, "std": {"std": 1.0}}


class Kernels(dict[Kernel, tuple[int, float]]):
    """The number of each kernel and the factor to launch it with."""

    def __missing__(self, kernel: Kernel) -> tuple[int, float]:
        assert core is not None
        name = ", ".join(filter(None, kernel))
        raise RuntimeError(
            f"the compiled extension {core.__file__} has no kernel {name}: it was built from other "
            "sources than vaekern's Python files. Build it again (pip install ., or as "
            "CONTRIBUTING.md says)"
        )


def table_of(compiled: Sequence[tuple[str, str, str, int, int]]) -> Kernels:
    found = Kernels()
    for number, (op, own_scale, variant, *_) in enumerate(compiled):
        for scale, factor in SERVED.get(own_scale, {}).items():
            found[op, scale, variant] = number, factor
    return found


KERNELS = table_of([] if core is None else core.kernels())


def describe_input(source: Source, shape: torch.Size) -> object:
    if isinstance(source, Tensor):
        return source.data_ptr(), DTYPES[source.dtype], strides_of(source, shape)
    if isinstance(source, PerDatapoint):
        tensor = source.tensor
        return tensor.data_ptr(), DTYPES[tensor.dtype], strides_of(source, shape)
    if isinstance(source, Bytes):
        return source.tensor.data_ptr(), UINT8[source.range], strides_of(source, shape)
    if isinstance(source, Noise):
        return (source.seed.data_ptr(),)
    return float(source)


def describe_output(output: Output | None) -> object:
    if output is None:
        return None
    kind, tensor, row_strides = output
    return kind, tensor.data_ptr(), DTYPES[tensor.dtype], tensor.numel(), row_strides


def describe_mixture(call: Mixture, upstream: Tensor | None, out: Tensor) -> tuple[Any, ...]:
    x = call.x
    x_dtype = UINT8["signed"] if x.dtype is torch.uint8 else DTYPES[x.dtype]
    return (
        call.in_double,
        call.sizes,
        (call.params.data_ptr(), DTYPES[call.params.dtype]),
        (x.data_ptr(), x_dtype),
        None if upstream is None else (upstream.data_ptr(), DTYPES[upstream.dtype]),
        (out.data_ptr(), DTYPES[out.dtype]),
    )


def describe_softmax(call: Softmax) -> tuple[Any, ...]:
    def rows_of(tensor: Tensor | None) -> object:
        if tensor is None:
            return None
        rows = tensor.numel() // call.sizes[1]
        return tensor.data_ptr(), DTYPES.get(tensor.dtype, _SEED), rows

    is_seed = call.noise is not None and call.noise.dtype is torch.int64
    noise = (None, call.noise) if is_seed else (call.noise, None)
    upstream = call.upstream, call.other_upstream
    inputs = call.logits, call.other, *upstream, call.mask, *noise, call.temperature
    return (
        call.kernel,
        call.in_double,
        call.sizes,
        call.unimix,
        tuple([rows_of(tensor) for tensor in inputs]),
        tuple([rows_of(tensor) for tensor in (*call.rows, call.sums)]),
    )


def describe_whole(tensor: Tensor) -> object:
    """A contiguous tensor as such."""
    return tensor.data_ptr(), DTYPES[tensor.dtype], tensor.numel()
