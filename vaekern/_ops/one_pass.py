"""-ELBO with its gradient in the same pass.

The loss of a training step is one scalar, so the gradient of every term is known up to the
upstream scalar before the backward runs: the same for all datapoints, or times their weights. The
forward therefore writes the gradients while it has the inputs in registers: 3 numbers of traffic
per element instead of 5, and one exponential instead of two. The gradients are saved as any saved
tensor is; the backward multiplies them by the upstream scalar where that is not 1 (which a GPU
decides by itself: the host does not wait). A backward that may run again (``retain_graph=True``)
gets copies, and one that is itself differentiated recomputes.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from vaekern._backends.choice import backend_for, backend_named
from vaekern._backends.launch import (
    Backend,
    PerDatapoint,
    Source,
    accumulation_dtype,
    is_plain,
    launch,
)
from vaekern._ops.call import Call
from vaekern._torch import (
    backward_keeps_graph,
    forward_mode_active,
    stands_for_many,
    transforms_active,
)


def applies(calls: Sequence[Call]) -> bool:
    """Whether this way is open: plain eager code that wants gradients it can store well."""
    return is_regular(calls) and _can_store([call.inputs for call in calls])


def applies_to(inputs: Sequence[Sequence[Tensor]]) -> bool:
    """The same, by the tensors of each call."""
    return _are_regular(inputs) and _can_store(inputs)


def is_regular(calls: Sequence[Call]) -> bool:
    """Plain eager code, whether it wants gradients or none."""
    if not _are_regular([call.inputs for call in calls]):
        return False
    for call in calls:
        # With something kept, a gradient needs the whole row before its first element.
        if call.op.kept or (call.mask is not None and not is_plain((call.mask,), profiled=True)):
            return False
    return True


def _are_regular(inputs: Sequence[Sequence[Tensor]]) -> bool:
    if torch.compiler.is_compiling() or transforms_active() or forward_mode_active():
        return False
    for tensors in inputs:
        if not is_plain(tensors, profiled=True) or tensors[0].numel() == 0:
            return False
        if backend_for(tensors[0].device) == "reference":
            return False
    return True


def _can_store(inputs: Sequence[Sequence[Tensor]]) -> bool:
    """Whether gradients are wanted that keep: those in float16 may underflow before the loss scale
    reaches them."""
    tensors = [tensor for each in inputs for tensor in each]
    keep = all([tensor.dtype is not torch.float16 for tensor in tensors])
    return keep and _wants_gradients(tensors)


def _wants_gradients(tensors: Sequence[Tensor]) -> bool:
    return torch.is_grad_enabled() and any([tensor.requires_grad for tensor in tensors])


def loss(
    calls: Sequence[Call],
    weights: Sequence[Tensor | float],
    reduce: Callable[..., Tensor],
    composed: Callable[..., Tensor],
) -> Tensor | None:
    """The values of regular calls, weighted and summed over datapoints: ``reduce(*values)``.
    ``weights`` are its derivatives, the same for each datapoint, or a tensor with one for each;
    ``composed(*tensors)`` computes the whole differentiably. None where only that will do."""
    tensors = [tensor for call in calls for tensor in call.inputs]
    if _can_store([tensors]):
        result: Tensor = _OnePass.apply(calls, weights, reduce, composed, *tensors)
        return result
    on_host = _are_summed_on_the_host(tensors[0].device, weights)
    if _wants_gradients(tensors) or not on_host or not is_plain(tensors):  # a profiler sees ops
        return None
    return on_the_host(backend_named("cpu"), calls, weights, differentiable=False)[0]


def loss_and_values(
    calls: Sequence[Call],
    weights: Sequence[Tensor | float],
    reduce: Callable[..., Tensor],
    composed: Callable[..., tuple[Tensor, ...]],
) -> tuple[Tensor, ...]:
    """:func:`loss`, then each call's value per datapoint; ``composed(*tensors)`` computes them all.
    A backward that starts from values recomputes."""
    tensors = [tensor for call in calls for tensor in call.inputs]
    result: tuple[Tensor, ...] = _OnePassWithValues.apply(
        calls, weights, reduce, composed, *tensors
    )
    return result


class StoredGradients(Function):
    """The backward, for forwards whose last arguments are the tensors."""

    @staticmethod
    def save(
        ctx: Any,
        composed: Callable[..., Any],
        tensors: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
    ) -> None:
        """``composed(*tensors)`` is the result, ``gradients`` its gradients where wanted."""
        ctx.composed, ctx.n = composed, len(tensors)
        ctx.backend = backend_for(tensors[0].device)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, *gradients)

    @staticmethod
    def backward(ctx: Any, g: Tensor | None, *of_values: Tensor | None) -> Any:
        saved = ctx.saved_tensors
        tensors, gradients = saved[: ctx.n], saved[ctx.n :]
        nothing = (None,) * (len(ctx.needs_input_grad) - ctx.n)
        if torch.is_grad_enabled() or g is None or of_values.count(None) < len(of_values):
            return (*nothing, *_recompute(ctx, (g, *of_values), tensors))
        if backward_keeps_graph() or stands_for_many(g):
            return (*nothing, *[None if d is None else d * g for d in gradients])
        backend_named(ctx.backend).scale([d for d in gradients if d is not None], g)
        return (*nothing, *gradients)


class _OnePass(StoredGradients):
    @staticmethod
    def forward(
        ctx: Any,
        calls: Sequence[Call],
        weights: Sequence[Tensor | float],
        reduce: Callable[..., Tensor],
        composed: Callable[..., Tensor],
        *tensors: Tensor,
    ) -> Tensor:
        backend = backend_named(backend_for(tensors[0].device))
        if _are_summed_on_the_host(tensors[0].device, weights):
            result, gradients = on_the_host(backend, calls, weights)
        else:
            result, gradients = _on_the_device(backend, calls, weights, reduce)
        _OnePass.save(ctx, composed, tensors, gradients)
        return result


class _OnePassWithValues(StoredGradients):
    @staticmethod
    def forward(
        ctx: Any,
        calls: Sequence[Call],
        weights: Sequence[Tensor | float],
        reduce: Callable[..., Tensor],
        composed: Callable[..., tuple[Tensor, ...]],
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        backend = backend_named(backend_for(tensors[0].device))
        values, gradients = _per_datapoint(backend, calls, weights)
        _OnePassWithValues.save(ctx, composed, tensors, gradients)
        if not _are_summed_on_the_host(tensors[0].device, weights):
            return reduce(*values), *values
        sums = [_added_up(value) for value in values]
        dtype = accumulation_dtype(values)
        return _weighted(sums, weights, dtype), *values


def _are_summed_on_the_host(device: torch.device, weights: Sequence[Tensor | float]) -> bool:
    numbers = not any([isinstance(weight, Tensor) for weight in weights])
    return numbers and backend_for(device) == "cpu"


def on_the_host(
    backend: Backend, calls: Sequence[Call], weights: Sequence[Any], *, differentiable: bool = True
) -> tuple[Tensor, list[Tensor | None]]:
    """Each call's sum over all datapoints, read at once; the gradients, if ``differentiable``."""
    sums, dtype, gradients = [], torch.float32, []
    value = torch.empty((), dtype=torch.float64, device="cpu")
    for call, weight in zip(calls, weights, strict=True):
        if differentiable:
            gradients += _value_and_gradients(backend, call, weight, value)
        else:
            _fill_value(backend, call, value)
        sums.append(value.item())
        dtype = torch.promote_types(dtype, accumulation_dtype(call.inputs))
    return _weighted(sums, weights, dtype), gradients


def _added_up(value: Tensor) -> float:
    """One after the other, as the extension does: Python's own ``sum`` compensates, or not."""
    numbers: list[float] = value.flatten().tolist()
    return functools.reduce(operator.add, numbers, 0.0)


def _weighted(sums: Sequence[float], weights: Sequence[Any], dtype: torch.dtype) -> Tensor:
    total = 0.0
    for weight, value in zip(weights, sums, strict=True):
        total += weight * value
    return torch.scalar_tensor(total, dtype=dtype, device="cpu")


def _on_the_device(
    backend: Backend,
    calls: Sequence[Call],
    weights: Sequence[Tensor | float],
    reduce: Callable[..., Tensor],
) -> tuple[Tensor, list[Tensor | None]]:
    """Each call's value per datapoint, reduced by further kernels: nothing waits."""
    values, gradients = _per_datapoint(backend, calls, weights)
    return reduce(*values), gradients


def _per_datapoint(
    backend: Backend, calls: Sequence[Call], weights: Sequence[Tensor | float]
) -> tuple[list[Tensor], list[Tensor | None]]:
    upstream: Tensor | PerDatapoint | float
    values: list[Tensor] = []
    gradients: list[Tensor | None] = []
    for call, weight in zip(calls, weights, strict=True):
        first, batch_dims = call.inputs[0], call.attributes[0]
        found = _by_the_extension(call, weight)
        if found is not None:
            value, *own = found
            values.append(value)
            gradients += own
            continue
        wide = accumulation_dtype(call.inputs)
        value = first.new_empty(first.shape[:batch_dims], dtype=wide)
        upstream = weight.to(wide) if isinstance(weight, Tensor) else weight
        if isinstance(upstream, Tensor) and upstream.dim() > 0:
            upstream = PerDatapoint(upstream)
        gradients += _value_and_gradients(backend, call, upstream, PerDatapoint(value))
        values.append(value)
    return values, gradients


def _by_the_extension(call: Call, weight: Tensor | float) -> Sequence[Any] | None:
    """The value per datapoint and the gradients; None where anything is irregular."""
    if call.mask is not None:
        return None
    no_mask = call.op.mask_slot(None)
    name = backend_for(call.inputs[0].device)
    found: Sequence[Any] | None = call.op.fast.both(
        weight, *call.inputs, *no_mask, *call.attributes, name
    )
    return found


def _fill_value(backend: Backend, call: Call, value: Tensor) -> None:
    launch(
        backend,
        call.op.kernel_name("value", call.attributes),
        call.inputs[0].shape,
        call.attributes[0],
        call.op.sources(call.inputs, call.mask, call.attributes),
        [value],
    )


def _value_and_gradients(
    backend: Backend, call: Call, weight: Source, value: Tensor | PerDatapoint
) -> list[Tensor | None]:
    """Fills ``value``; the gradients of the inputs that want one, times ``weight``."""
    found = [backend.empty(t, t.dtype) if t.requires_grad else None for t in call.inputs]
    call.op.fill(backend, call.inputs, call.mask, call.attributes, weight, value, found)
    return found


def _recompute(
    ctx: Any, upstream: Sequence[Tensor | None], tensors: Sequence[Tensor]
) -> list[Tensor | None]:
    """Differentiable gradients, through views: one input may have been computed from another."""
    wanted = [k for k, needs in enumerate(ctx.needs_input_grad[-ctx.n :]) if needs]
    with torch.enable_grad():
        own = [t.view_as(t) for t in tensors]
        results = ctx.composed(*own)
    results = results if isinstance(results, tuple) else (results,)
    reached = [k for k, g in enumerate(upstream) if g is not None]
    found = torch.autograd.grad(
        [results[k] for k in reached],
        [own[k] for k in wanted],
        [upstream[k] for k in reached],
        create_graph=torch.is_grad_enabled(),
        allow_unused=True,
    )
    result: list[Tensor | None] = [None] * len(tensors)
    for k, gradient in zip(wanted, found, strict=True):
        result[k] = gradient
    return result
