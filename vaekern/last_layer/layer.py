"""What is asked of the arguments that make the layer."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from vaekern._checks import check_batch_dims, check_device, check_float
from vaekern._torch import autocast_enabled, shape_to_compare

REDUCTIONS = ("none", "sum", "mean")


class Layer(NamedTuple):
    """Checked arguments: hidden [rows, H], weight and a bias, in the dtype that the layer computes
    in; the shape of hidden without its last dimension; and what is asked of the rows' values."""

    tensors: tuple[Tensor, Tensor, Tensor]
    shape: torch.Size
    reduction: str
    batch_dims: int
    chunk: int | None


def checked_layer(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    reduction: str,
    batch_dims: int,
    chunk: int | None,
) -> Layer:
    check_float("hidden", hidden)
    check_float("weight", weight)
    if hidden.dim() == 0:
        raise ValueError("hidden: expected at least one dimension, [..., H], got ()")
    features = shape_to_compare(hidden)[-1]
    if weight.dim() != 2 or shape_to_compare(weight)[1] != features:
        raise ValueError(
            f"weight: expected [N, {features}], the last of hidden "
            f"{tuple(hidden.shape)}, got {tuple(weight.shape)}"
        )
    check_device("weight", weight, "hidden", hidden)
    if bias is None:
        bias = weight.new_zeros(weight.shape[0])
    check_float("bias", bias)
    check_shape("bias", bias, shape_to_compare(weight)[:1], hidden)
    check_batch_dims(batch_dims, "hidden without its last", hidden[..., 0])
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction: expected one of {REDUCTIONS}, got {reduction!r}")
    if chunk is not None and (isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1):
        raise ValueError(f"chunk: expected a number of outputs, 1 or more, got {chunk!r}")
    hidden, weight, bias = _autocast(hidden, weight, bias)
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor.dtype is not hidden.dtype:
            raise TypeError(
                f"{name}: expected the dtype of hidden, {hidden.dtype}, got {tensor.dtype}"
            )
    tensors = hidden.reshape(-1, hidden.shape[-1]), weight, bias
    return Layer(tensors, hidden.shape[:-1], reduction, batch_dims, chunk)


def target_rows(x: Tensor, hidden: Tensor, weight: Tensor) -> Tensor:
    """Targets, one for each output, as [rows, N]."""
    n = weight.shape[0]
    leading, outputs = shape_to_compare(hidden)[:-1], shape_to_compare(weight)[0]
    check_shape("x", x, (*leading, outputs), hidden)
    return x.reshape(-1, n)


def check_shape(name: str, tensor: Tensor, shape: tuple[int, ...], hidden: Tensor) -> None:
    if shape_to_compare(tensor) != shape:
        raise ValueError(f"{name}: expected shape {tuple(shape)}, got {tuple(tensor.shape)}")
    check_device(name, tensor, "hidden", hidden)


def _autocast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """What autocast does to the arguments of a linear layer."""
    if not autocast_enabled(tensors[0]):
        return tensors
    dtype = torch.get_autocast_dtype(tensors[0].device.type)
    return tuple(t if t.dtype is torch.float64 else t.to(dtype) for t in tensors)
