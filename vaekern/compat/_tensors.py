"""What the formulas that the drop-ins replace do implicitly: broadcasting, promotion."""

from __future__ import annotations

from typing import Any, TypeGuard

import torch
from torch import Tensor

from vaekern._torch import shape_to_compare, tracing_state

#: Dtypes that log-probabilities have, too.
WIDE = (torch.float32, torch.float64)
_FLOATS = (*WIDE, torch.bfloat16, torch.float16)
_PLAIN = (Tensor, torch.nn.Parameter)


def formula_dtype(*tensors: Tensor) -> torch.dtype:
    """The dtype that the formula in torch operations has: that of its arguments. CUDA's autocast
    runs exponentials, powers and sums in float32, and so ends there."""
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    if tensors[0].is_cuda and torch.is_autocast_enabled("cuda"):
        return torch.promote_types(dtype, torch.float32)
    return dtype


def as_dtype(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """``tensor.to(dtype)``, without a call of torch where there is nothing to do."""
    return tensor if tensor.dtype is dtype else tensor.to(dtype)


def broadcast(*tensors: Tensor, parameters: tuple[Tensor, ...] = ()) -> tuple[Tensor, ...]:
    """Tensors of one shape, as elementwise operations make them, then the ``parameters``, which
    only get as many dimensions: kernels broadcast those, and round their gradients after the sum.
    """
    every = (*tensors, *parameters)
    shapes = [shape_to_compare(tensor) for tensor in every]
    if all([shape == shapes[0] for shape in shapes]):  # not count(): dynamo of torch 2.6 has none
        return every
    expanded = torch.broadcast_tensors(*every)[: len(tensors)]
    ndim = expanded[0].dim()
    return (*expanded, *[p.reshape((1,) * (ndim - p.dim()) + p.shape) for p in parameters])


def alike(*values: Any) -> bool:
    """Whether these are plain tensors of one shape, device and dtype, one that log-probabilities
    have, too: nothing is to be broadcast or converted. Most are, and this asks less of torch than
    what follows where they are not."""
    if type(values[0]) not in _PLAIN or tracing_state() is not None:
        return False
    dtype, shape, device = values[0].dtype, values[0].shape, values[0].device
    for value in values:
        if type(value) not in _PLAIN or value.dtype is not dtype or value.shape != shape:
            return False
        if value.device != device or value.layout is not torch.strided:
            return False
    return dtype in WIDE


def fusable(*values: object) -> bool:
    """Whether a kernel takes these together: dense tensors of real numbers on one device."""
    device = None
    for value in values:
        if not _is_dense_float(value) or device not in (None, value.device):
            return False
        device = value.device
    return device is not None


def _is_dense_float(value: object) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.dtype in _FLOATS and value.layout is torch.strided
