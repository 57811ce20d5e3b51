"""Argument checks: shapes, dtypes and devices only, never data. Each names the argument, what it
got and what it wanted."""

from __future__ import annotations

import operator
from typing import NoReturn, SupportsIndex

import torch
from torch import Tensor

from vaekern._torch import shape_to_compare

FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_TARGETS = (*FLOATS, torch.uint8, torch.bool)
_LEVELS = (*FLOATS, torch.uint8)
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
SCALES = ("logvar", "log_std", "std")


def _names(dtypes: tuple[torch.dtype, ...]) -> str:
    return ", ".join(str(dtype).removeprefix("torch.") for dtype in dtypes)


def check_float(name: str, tensor: object) -> None:
    if not _is_of(tensor, FLOATS):
        _complain(name, tensor, FLOATS)


def check_target(name: str, tensor: object) -> None:
    if not _is_of(tensor, _TARGETS):
        _complain(name, tensor, _TARGETS)


def check_number(name: str, value: object) -> float:
    """A Python number, as a float: a tensor would be copied, a parameter never trained."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    return float(value)


def check_count(name: str, value: object, least: int = 1) -> int:
    """How many of something: an int, or what stands for one, as numpy's do."""
    if not isinstance(value, int):
        if not isinstance(value, SupportsIndex):
            raise TypeError(f"{name}: expected an int, got {type(value).__name__}")
        value = operator.index(value)
    if value < least:
        raise ValueError(f"{name}: expected at least {least}, got {value}")
    return value


def check_per_datapoint(name: str, value: object, of: Tensor, batch_dims: int) -> None:
    """One value for each datapoint ``of`` a tensor: any other shape might broadcast."""
    batch = shape_to_compare(of)[:batch_dims]
    if not isinstance(value, Tensor) or shape_to_compare(value) != batch:
        got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(
            f"{name}: expected one value per datapoint, a sum over its elements, of shape "
            f"{tuple(batch)}, got {got}"
        )


def check_module(name: str, module: object, for_what: str) -> None:
    if isinstance(module, type) and issubclass(module, torch.nn.Module):
        raise TypeError(f"{name}: expected a module, got the class {module.__name__}: call it")
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"{name}: expected a torch.nn.Module {for_what}, whose parameters are trained, "
            f"got {type(module).__name__}"
        )


def check_kind(name: str, value: object, kinds: tuple[type, ...], wanted: str) -> None:
    if not isinstance(value, kinds):
        raise TypeError(f"{name}: expected {wanted}, got {type(value).__name__}")


def check_levels(name: str, tensor: object) -> None:
    """Targets of 256 levels: bytes, or floats that are data and no function of anything."""
    if not _is_of(tensor, _LEVELS):
        _complain(name, tensor, _LEVELS)
    assert isinstance(tensor, Tensor)
    if tensor.requires_grad:
        raise ValueError(f"{name}: expected levels, which get no gradient, got requires_grad=True")


def check_class_indices(name: str, tensor: object) -> None:
    if not _is_of(tensor, _INTEGERS):
        _complain(name, tensor, _INTEGERS)


def check_counts(name: str, tensor: object) -> None:
    if not _is_of(tensor, (*FLOATS, *_INTEGERS)):
        _complain(name, tensor, (*FLOATS, *_INTEGERS))


def _is_of(tensor: object, dtypes: tuple[torch.dtype, ...]) -> bool:
    return isinstance(tensor, Tensor) and tensor.dtype in dtypes and tensor.layout is torch.strided


def _complain(name: str, tensor: object, dtypes: tuple[torch.dtype, ...]) -> NoReturn:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    if tensor.dtype not in dtypes:
        raise TypeError(f"{name}: expected dtype {_names(dtypes)}, got {_names((tensor.dtype,))}")
    raise TypeError(f"{name}: expected a strided (dense) tensor, got layout {tensor.layout}")


def check_like(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    """The same shape and device: nothing broadcasts by accident."""
    if shape_to_compare(tensor) != shape_to_compare(other):
        raise ValueError(
            f"{name}: expected the shape of {other_name}, {tuple(other.shape)}, "
            f"got {tuple(tensor.shape)}"
        )
    check_device(name, tensor, other_name, other)


def check_device(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    if tensor.device != other.device:
        raise ValueError(
            f"{name}: expected the device of {other_name}, {other.device}, got {tensor.device}"
        )


def check_batch_dims(batch_dims: int, name: str, tensor: Tensor) -> None:
    if not isinstance(batch_dims, int):
        raise TypeError(f"batch_dims: expected an int, got {type(batch_dims).__name__}")
    if not 0 <= batch_dims <= tensor.dim():
        raise ValueError(
            f"batch_dims: expected 0 to {tensor.dim()}, the number of dimensions of {name} "
            f"{tuple(tensor.shape)}, got {batch_dims}"
        )


def check_scale(scale: str) -> None:
    if scale not in SCALES:
        raise ValueError(f"scale: expected one of {SCALES}, got {scale!r}")


def broadcastable(
    name: str,
    value: Tensor | float,
    other_name: str,
    other: Tensor,
    batch_dims: int,
    dtype: torch.dtype,
    *,
    per_channel: bool = False,
) -> Tensor:
    """A parameter that may be smaller than the tensor it belongs to: a number, which becomes a
    scalar tensor of ``dtype``; a scalar tensor; of the event's shape; or with a 1 for each
    dimension it is shared over. With ``per_channel``, a vector has one number for each index of
    the first event dimension."""
    if isinstance(value, bool) or not isinstance(value, (Tensor, int, float)):
        raise TypeError(f"{name}: expected a number or a tensor, got {type(value).__name__}")
    if not isinstance(value, Tensor):
        return other.new_full((), value, dtype=dtype)
    check_float(name, value)
    check_device(name, value, other_name, other)
    shape, full = shape_to_compare(value), shape_to_compare(other)
    if shape == full or value.dim() == 0:
        return value
    event = full[batch_dims:]
    if per_channel and value.dim() == 1 and len(event) > 1:
        if shape[0] == event[0]:
            return value.reshape(-1, *(1,) * (len(event) - 1))
    elif value.dim() in (len(event), other.dim()):
        trailing = full[other.dim() - value.dim() :]
        if all([own in (1, wanted) for own, wanted in zip(shape, trailing, strict=True)]):
            return value
    channels = f", a vector of {event[0]} (per channel)" if per_channel and event else ""
    raise ValueError(
        f"{name}: expected a number, a scalar tensor, the shape of {other_name} "
        f"{tuple(full)}, its event shape {tuple(event)}{channels}, or either with 1 for "
        f"the dimensions it is shared over; got {tuple(shape)}"
    )


def check_mask(name: str, mask: object, other_name: str, other: Tensor) -> None:
    if not isinstance(mask, Tensor) or not _is_of(mask, (torch.bool,)):
        _complain(name, mask, (torch.bool,))
    check_device(name, mask, other_name, other)
    sizes = zip(shape_to_compare(mask), shape_to_compare(other), strict=False)
    fits = [own in (1, wanted) for own, wanted in sizes]
    if mask.dim() != other.dim() or not all(fits):
        raise ValueError(
            f"{name}: expected the shape of {other_name}, {tuple(other.shape)}, or 1 for "
            f"dimensions it is shared over, got {tuple(mask.shape)}"
        )


def check_share(name: str, value: object) -> None:
    """A number strictly between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: expected a number, got {type(value).__name__}")
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name}: expected a number between 0 and 1, got {value}")


def number_or_scalar(name: str, value: Tensor | float) -> Tensor | float:
    if isinstance(value, Tensor):
        if value.dim() != 0 or not value.is_floating_point():
            raise ValueError(
                f"{name}: expected a number or a floating-point tensor without dimensions, got "
                f"{_names((value.dtype,))} of shape {tuple(value.shape)}"
            )
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name}: expected a number or a scalar tensor, got {type(value).__name__}")
    elif value != value:
        raise ValueError(f"{name}: expected a number, got nan")
    return value
