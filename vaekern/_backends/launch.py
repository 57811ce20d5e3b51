"""One call of a kernel on tensors: what every backend is handed.

A backend's ``run(kernel, in_double, shape, row_dims, inputs, outputs)`` calls a kernel. It visits
all elements of ``shape``, of which the first ``row_dims`` dimensions make rows and the
others columns. Inputs broadcast to ``shape`` from the right; one more than the kernel has is a
mask, a bool tensor: results are 0 where it is False. Each output says what it holds: one number per
element, or sums over columns or over rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from vaekern._torch import dispatch_modes_active, functions_watched, profiler_active

#: (operation, scale, variant)
Kernel: TypeAlias = tuple[str, str, str]
Source: TypeAlias = "Tensor | PerDatapoint | Bytes | Noise | float"
Result: TypeAlias = "Tensor | PerDatapoint | None"

# As in csrc/launch.h.
ELEMENTS, ROW_SUM, COLUMN_SUM, ROW_LOG_SUM_EXP = 0, 1, 2, 4


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


class LogSumExp(PerDatapoint):
    """A result with log sum exp over each datapoint's elements, instead of their sum."""

    __slots__ = ()


class Bytes:
    """A uint8 tensor that is not read as 0 .. 1, as any other is (the range ``"unit"``), but as
    -1 .. 1 (``"signed"``) or as it is (``"count"``, ``"binary"``)."""

    __slots__ = ("dtype", "range", "tensor")

    def __init__(self, tensor: Tensor, uint8_range: str) -> None:
        self.tensor = tensor
        self.dtype = tensor.dtype
        self.range = "count" if uint8_range == "binary" else uint8_range


class Output(NamedTuple):
    """A contiguous tensor and what it holds. For row sums, the strides over the row dimensions
    into it, None for one number per row: several rows may share a number."""

    kind: int
    tensor: Tensor
    row_strides: Sequence[int] | None


class Mixture(NamedTuple):
    """Mixtures of densities: ``sizes`` are the numbers of datapoints, components and pixels. The
    tensors are contiguous: ``params`` with the components' planes, for each pixel (see
    ``csrc/mixture.h``), ``x`` with the data's."""

    sizes: tuple[int, int, int]
    params: Tensor
    x: Tensor

    @property
    def in_double(self) -> bool:
        return accumulation_dtype((self.params, self.x)) is torch.float64


class SoftmaxKernel(IntEnum):
    """The kernels over whole rows of logits, numbered as in ``csrc/softmax.h``."""

    KL, KL_VJP, SAMPLE, SAMPLE_VJP, RELAXED, RELAXED_HARD, RELAXED_VJP = range(7)


class Softmax(NamedTuple):
    """A call of a kernel over whole rows of logits: ``sizes`` are the numbers of rows, of their
    classes and of the rows that make a sum. The tensors are contiguous: of ``logits`` there is a
    row each, ``other`` rows repeat in order, ``upstream`` has a gradient for each sum, as it
    reaches the logits, ``other_upstream`` one for the other rows, ``mask`` a bool for each row.
    ``noise`` are numbers of Gumbel's distribution, a row each, or an int64 seed of them; of
    ``temperature`` there is one for each sum. Of ``rows`` and ``sums``, which are results, None is
    not computed."""

    kernel: SoftmaxKernel
    sizes: tuple[int, int, int]
    unimix: float
    logits: Tensor
    other: Tensor | None = None
    upstream: Tensor | None = None
    other_upstream: Tensor | None = None
    mask: Tensor | None = None
    noise: Tensor | None = None
    temperature: Tensor | None = None
    rows: tuple[Tensor | None, Tensor | None] = (None, None)
    sums: Tensor | None = None

    @property
    def in_double(self) -> bool:
        return accumulation_dtype(self[3:10]) is torch.float64


class Backend(NamedTuple):
    """What a backend offers.

    ``run(kernel, in_double, shape, row_dims, inputs, outputs)`` is described above.
    ``empty(tensor, dtype)`` gives memory for a result: contiguous, of the tensor's shape and
    device. ``scale(tensors, factor)`` multiplies contiguous tensors, in place, by a number in
    memory; it costs next to nothing where that is 1. ``mixture(call, upstream, out)`` fills ``out``
    with the log-likelihoods of a mixture or, where there are ``upstream`` gradients of those, with
    the gradients of its parameters. ``softmax(call)`` fills the results of a call over rows.
    ``runners`` are what the fast path of an emulated GPU calls.
    """

    run: Callable[[Kernel, bool, torch.Size, int, Sequence[Source], Sequence[Output | None]], None]
    empty: Callable[[Tensor, torch.dtype], Tensor]
    scale: Callable[[Sequence[Tensor], Tensor], None]
    mixture: Callable[[Mixture, Tensor | None, Tensor], None]
    softmax: Callable[[Softmax], None]
    runners: object = None


def empty_contiguous(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.empty_like(tensor, dtype=dtype, memory_format=torch.contiguous_format)


def is_plain(args: Sequence[Any], *, profiled: bool = False) -> bool:
    """Whether a kernel may read these tensors' memory without asking the dispatcher: ordinary
    tensors, and nobody watching (fake tensors, tracing, the profiler unless it may: ``profiled``).
    """
    if dispatch_modes_active() or (profiler_active() and not profiled) or functions_watched(args):
        return False
    for arg in args:
        kind = type(arg)
        if kind is Tensor or kind is torch.nn.Parameter:
            if not (arg.is_cpu or arg.is_cuda) or arg.is_neg() or arg.is_nested:
                return False
        elif isinstance(arg, Tensor):
            return False
    return True


def accumulation_dtype(sources: Sequence[Any]) -> torch.dtype:
    """float64 if any tensor is, else float32: the arithmetic's dtype, and that of sums."""
    for source in sources:
        if getattr(source, "dtype", None) is torch.float64:
            return torch.float64
    return torch.float32


def strides_of(source: Tensor | PerDatapoint | Bytes, shape: torch.Size) -> tuple[int, ...] | None:
    """The strides with which a source broadcasts to ``shape``; None where it is contiguous."""
    if isinstance(source, Bytes):
        source = source.tensor
    if isinstance(source, PerDatapoint):
        strides = source.tensor.stride()
        return (*strides, *(0,) * (len(shape) - len(strides)))
    if source.shape != shape:
        return source.expand(shape).stride()
    return None if source.is_contiguous() else source.stride()


def launch(
    backend: Backend,
    kernel: Kernel,
    shape: torch.Size,
    batch_dims: int,
    inputs: Sequence[Source],
    outputs: Sequence[Result],
) -> None:
    """Runs a kernel on a backend, over all elements of ``shape``.

    An output of that shape gets one number per element; a smaller one gets sums over the
    dimensions it lacks. Outputs are contiguous; None is not computed. One number per element may
    overwrite a contiguous input of that dtype: whoever writes it has read that element, and nobody
    else does.
    """
    if 0 in shape:
        for output in outputs:
            if output is not None:
                empty = -math.inf if isinstance(output, LogSumExp) else 0.0
                (output.tensor if isinstance(output, PerDatapoint) else output).fill_(empty)
        return
    row_dims: int | None = batch_dims
    described: list[Output | None] = []
    for output in outputs:
        if output is None:
            described.append(None)
        elif isinstance(output, PerDatapoint):
            kind = ROW_LOG_SUM_EXP if isinstance(output, LogSumExp) else ROW_SUM
            described.append(Output(kind, output.tensor, None))
        elif output.shape == shape:
            described.append(Output(ELEMENTS, output, None))
        elif output.dim() == 0:  # one sum of everything
            described.append(Output(ROW_SUM, output, (0,) * batch_dims))
        else:
            row_dims, described = _with_broadcast_sums(shape, batch_dims, outputs)
            break
    if row_dims is None:
        return _launch_and_sum(backend, kernel, shape, batch_dims, inputs, outputs)
    in_double = accumulation_dtype(inputs) is torch.float64
    backend.run(kernel, in_double, shape, row_dims, inputs, described)


# --- gradients of broadcast inputs: which dimensions are summed over ------------------------------


def _is_constant(shape: Sequence[int], full: Sequence[int], dims: range) -> bool:
    """Whether a tensor of ``shape``, broadcast to ``full``, is constant over those dimensions."""
    return all(shape[d] == 1 or full[d] == 1 for d in dims)


def _row_dims(full: torch.Size, batch_dims: int, summed: list[tuple[int, ...]]) -> int | None:
    """How many leading dimensions make rows, such that each summed output has one number for
    several whole rows, or one for each column. None if no number of them does."""
    ndim = len(full)
    # Fewer than datapoints have, where no result is one number for each of those.
    for split in (*range(batch_dims, max(ndim, batch_dims + 1)), *range(batch_dims - 1, 0, -1)):
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


def _with_broadcast_sums(
    shape: torch.Size, batch_dims: int, outputs: Sequence[Result]
) -> tuple[int | None, list[Output | None]]:
    """How many leading dimensions make rows, and the outputs' descriptions, where some output is
    the gradient of a broadcast input."""
    ndim = len(shape)
    padded = [None if output is None else _padded_shape(output, ndim) for output in outputs]
    row_dims = _row_dims(shape, batch_dims, [p for p in padded if p is not None and p != shape])
    described: list[Output | None] = []
    for output, sizes in zip(outputs, padded, strict=True):
        if output is None or sizes is None or row_dims is None:
            described.append(None)
            continue
        tensor = output.tensor if isinstance(output, PerDatapoint) else output
        if sizes == shape:
            described.append(Output(ELEMENTS, tensor, None))
        elif _is_constant(sizes, shape, range(row_dims, ndim)):
            described.append(Output(ROW_SUM, tensor, _row_strides(sizes, row_dims)))
        else:
            described.append(Output(COLUMN_SUM, tensor, None))
    return row_dims, described


def _launch_and_sum(
    backend: Backend,
    kernel: Kernel,
    shape: torch.Size,
    batch_dims: int,
    inputs: Sequence[Source],
    outputs: Sequence[Result],
) -> None:
    """For the rare shapes whose sums no split into rows and columns gives: sums afterwards."""
    wide = accumulation_dtype(inputs)
    full = [
        output.new_empty(shape, dtype=wide) if isinstance(output, Tensor) else output
        for output in outputs
    ]
    launch(backend, kernel, shape, batch_dims, inputs, full)
    for output, elements in zip(outputs, full, strict=True):
        if isinstance(output, Tensor) and isinstance(elements, Tensor):
            output.copy_(elements.sum_to_size(output.shape))
