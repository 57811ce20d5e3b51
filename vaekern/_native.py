"""The compiled extension, if there is one: loading, thread count, and launches on tensors."""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import TypeAlias

import torch  # first: the extension then shares torch's OpenMP runtime
from torch import Tensor

from vaekern._compat import dispatch_modes_active, profiler_active

ISA_VARIABLE = "VAEKERN_CPU_ISA"
CACHE_VARIABLE = "VAEKERN_CACHE_MIB"

Source: TypeAlias = "Tensor | PerDatapoint | Noise | float"
Result: TypeAlias = "Tensor | PerDatapoint | None"

_DTYPES = {
    torch.float32: 0,
    torch.float64: 1,
    torch.bfloat16: 2,
    torch.float16: 3,
    torch.uint8: 4,
    torch.bool: 5,
}
_ELEMENTS, _ROW_SUM, _COLUMN_SUM = 0, 1, 2
_POOLED = 2 << 20

_PLAIN_TYPES = (Tensor, torch.nn.Parameter)

_forked = False


class Noise:
    """The standard normals of a seed, generated inside the kernel."""

    __slots__ = ("seed",)

    def __init__(self, seed: Tensor) -> None:
        self.seed = seed


class PerDatapoint:
    """A tensor with one number per datapoint: of the shape's leading dimensions alone."""

    __slots__ = ("dtype", "tensor")

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.dtype = tensor.dtype


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

#: (operation, scale, variant) -> kernel number
KERNELS: dict[tuple[str, str, str], int] = (
    {(op, scale, variant): k for k, (op, scale, variant, *_) in enumerate(core.kernels())}
    if core is not None
    else {}
)


def _after_fork() -> None:
    # OpenMP's threads do not exist in a forked child, and its runtime would wait for them.
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def is_plain(args: Sequence[object]) -> bool:
    """Whether a kernel may read these tensors' memory without asking the dispatcher: ordinary CPU
    tensors, and nobody watching (fake tensors, tracing, the profiler)."""
    if core is None or dispatch_modes_active() or profiler_active():
        return False
    for arg in args:
        if isinstance(arg, Tensor) and (
            type(arg) not in _PLAIN_TYPES or not arg.is_cpu or arg.is_neg() or arg.is_nested
        ):
            return False
    return True


def threads_for(numel: int) -> int:
    """How many threads to use: torch's number, fewer where the work is not worth them."""
    if _forked:
        return 1
    return max(1, min(torch.get_num_threads(), numel // 16384))


def new_contiguous(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """For a result: contiguous, of the shape and device of an ordinary CPU tensor. Large ones come
    from a pool, since fresh memory costs more than computing what goes there."""
    bytes_ = tensor.numel() * dtype.itemsize
    if bytes_ < _POOLED or core is None:
        return torch.empty_like(tensor, dtype=dtype, memory_format=torch.contiguous_format)
    buffer = torch.frombuffer(core.Buffer(bytes_), dtype=torch.uint8, count=bytes_)
    result = torch.empty(0, dtype=dtype)
    return result.set_(buffer.untyped_storage()).resize_(tensor.shape)


def accumulation_dtype(*tensors: object) -> torch.dtype:
    """float64 if any tensor is, else float32: the arithmetic's dtype, and that of sums."""
    for tensor in tensors:
        if getattr(tensor, "dtype", None) is torch.float64:
            return torch.float64
    return torch.float32


def _describe(source: Source, shape: torch.Size) -> object:
    if isinstance(source, Tensor):
        if source.shape != shape:
            source = source.expand(shape)
        elif source.is_contiguous():
            return (source.data_ptr(), _DTYPES[source.dtype], None)
        return (source.data_ptr(), _DTYPES[source.dtype], source.stride())
    if isinstance(source, PerDatapoint):
        tensor = source.tensor
        strides = (*tensor.stride(), *(0,) * (len(shape) - tensor.dim()))
        return (tensor.data_ptr(), _DTYPES[tensor.dtype], strides)
    if isinstance(source, Noise):
        return (source.seed.data_ptr(),)
    return float(source)


def _is_constant(shape: Sequence[int], full: Sequence[int], dims: range) -> bool:
    """Whether a tensor of ``shape``, broadcast to ``full``, is constant over those dimensions."""
    return all(shape[d] == 1 or full[d] == 1 for d in dims)


def _row_dims(full: torch.Size, batch_dims: int, summed: list[tuple[int, ...]]) -> int | None:
    """How many leading dimensions make rows, such that each summed output has one number for
    several whole rows, or one for each column. None if no number of them does."""
    ndim = len(full)
    for split in range(batch_dims, max(ndim, batch_dims + 1)):
        rows, cols = range(split), range(split, ndim)
        if all(
            _is_constant(shape, full, cols)
            or (_is_constant(shape, full, rows) and shape[split:] == full[split:])
            for shape in summed
        ):
            return split
    return None


def _row_strides(shape: Sequence[int], split: int) -> list[int]:
    """Strides, over the row dimensions, into a contiguous tensor of the broadcast ``shape``."""
    strides, step = [0] * split, 1
    for d in range(split - 1, -1, -1):
        if shape[d] != 1:
            strides[d] = step
            step *= shape[d]
    return strides


def _padded_shape(output: Tensor | PerDatapoint, ndim: int) -> tuple[int, ...]:
    """The output's shape with a 1 for each dimension that it sums over."""
    if isinstance(output, PerDatapoint):
        return (*output.tensor.shape, *(1,) * (ndim - output.tensor.dim()))
    return (*(1,) * (ndim - output.dim()), *output.shape)


def launch(
    kernel: tuple[str, str, str],
    shape: torch.Size,
    batch_dims: int,
    inputs: Sequence[Source],
    outputs: Sequence[Result],
) -> None:
    """Runs a kernel over all elements of ``shape``.

    Inputs broadcast to ``shape`` from the right. An output of that shape gets one number per
    element; a smaller one gets sums over the dimensions it lacks. Outputs are contiguous; None is
    not computed.
    """
    if 0 in shape:
        for output in outputs:
            if output is not None:
                (output.tensor if isinstance(output, PerDatapoint) else output).zero_()
        return
    row_dims: int | None = batch_dims
    specs: list[object] = []
    for output in outputs:
        if output is None:
            specs.append(None)
        elif isinstance(output, PerDatapoint):
            specs.append(_output_spec(_ROW_SUM, output.tensor, None))
        elif output.shape == shape:
            specs.append(_output_spec(_ELEMENTS, output, None))
        elif output.dim() == 0:  # one sum of everything
            specs.append(_output_spec(_ROW_SUM, output, (0,) * batch_dims))
        else:
            row_dims, specs = _with_broadcast_sums(shape, batch_dims, outputs)
            break
    if row_dims is None:
        return _launch_and_sum(kernel, shape, batch_dims, inputs, outputs)
    assert core is not None
    core.run(
        KERNELS[kernel],
        accumulation_dtype(*inputs) is torch.float64,
        shape,
        row_dims,
        tuple([_describe(source, shape) for source in inputs]),
        tuple(specs),
        threads_for(shape.numel()),
    )


def _output_spec(kind: int, tensor: Tensor, row_strides: Sequence[int] | None) -> object:
    return kind, tensor.data_ptr(), _DTYPES[tensor.dtype], tensor.numel(), row_strides


def _with_broadcast_sums(
    shape: torch.Size, batch_dims: int, outputs: Sequence[Result]
) -> tuple[int | None, list[object]]:
    """How many leading dimensions make rows, and the outputs' descriptions, where some output is
    the gradient of a broadcast input."""
    ndim = len(shape)
    padded = [None if output is None else _padded_shape(output, ndim) for output in outputs]
    row_dims = _row_dims(shape, batch_dims, [p for p in padded if p is not None and p != shape])
    specs: list[object] = []
    for output, sizes in zip(outputs, padded, strict=True):
        if output is None or sizes is None or row_dims is None:
            specs.append(None)
            continue
        tensor = output.tensor if isinstance(output, PerDatapoint) else output
        if sizes == shape:
            specs.append(_output_spec(_ELEMENTS, tensor, None))
        elif _is_constant(sizes, shape, range(row_dims, ndim)):
            specs.append(_output_spec(_ROW_SUM, tensor, _row_strides(sizes, row_dims)))
        else:
            specs.append(_output_spec(_COLUMN_SUM, tensor, None))
    return row_dims, specs


def _launch_and_sum(
    kernel: tuple[str, str, str],
    shape: torch.Size,
    batch_dims: int,
    inputs: Sequence[Source],
    outputs: Sequence[Result],
) -> None:
    """For the rare shapes whose sums no split into rows and columns gives: sums afterwards."""
    wide = accumulation_dtype(*inputs)
    full = [
        torch.empty(shape, dtype=wide) if isinstance(output, Tensor) else output
        for output in outputs
    ]
    launch(kernel, shape, batch_dims, inputs, full)
    for output, elements in zip(outputs, full, strict=True):
        if isinstance(output, Tensor) and isinstance(elements, Tensor):
            output.copy_(elements.sum_to_size(output.shape))
