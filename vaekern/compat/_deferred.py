"""One value per element, computed when it is used: a sum by a kernel that stores no elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.utils._pytree import tree_map

from vaekern._backends.launch import is_plain
from vaekern._torch import forward_mode_active, transforms_active

#: ``summed(dims, *tensors)``: values summed over so many of the last dimensions.
Summed = Callable[..., Tensor]


def deferred(summed: Summed, dtype: torch.dtype, *tensors: Tensor) -> Tensor:
    """``summed(0, *tensors)``, of this dtype and of the shape that the tensors broadcast to.

    Where eager code records gradients it is computed when it is used: a sum over its last
    dimensions is ``summed`` of those, and whatever else it is asked is asked of the elements.

    Raises:
        RuntimeError: the tensors do not broadcast.
    """
    shape = torch.broadcast_shapes(*[tensor.shape for tensor in tensors])
    recorded = torch.is_grad_enabled() and any([tensor.requires_grad for tensor in tensors])
    if not recorded or torch.compiler.is_compiling() or not is_plain(tensors):
        return summed(0, *tensors)
    if transforms_active() or forward_mode_active():
        return summed(0, *tensors)
    result: Tensor = _Elements.apply(_Plan(summed, shape, dtype, tensors), *tensors)
    return result


class _Plan:
    """What is to be computed, of tensors that must not change before it is."""

    def __init__(
        self, summed: Summed, shape: torch.Size, dtype: torch.dtype, tensors: Sequence[Tensor]
    ) -> None:
        self.summed, self.shape, self.dtype, self.tensors = summed, shape, dtype, tensors
        self._versions = [tensor._version for tensor in tensors]
        self._elements: Tensor | None = None

    def elements(self) -> Tensor:
        """With their gradients, as if they had been computed at once."""
        if self._elements is None:
            with torch.inference_mode(False), torch.enable_grad():
                self._elements = self.summed(0, *self.unchanged())
        return self._elements

    def total(self, dims: int) -> Tensor:
        """Of the elements where somebody has them, who may have changed or hooked them."""
        if self._elements is None:
            return self.summed(dims, *self.unchanged())
        return self._elements.sum(tuple(range(-dims, 0)))

    def unchanged(self) -> Sequence[Tensor]:
        if [tensor._version for tensor in self.tensors] != self._versions:
            raise RuntimeError(
                "log_prob: one of the variables needed for its computation has been modified by "
                "an inplace operation before the result was used"
            )
        return self.tensors


class Deferred(Tensor):
    """The elements of a plan. Operations see what it stands for."""

    plan: _Plan

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is Tensor.sum or function is torch.sum:
            last = _summed_dims(*args, **kwargs)
            if last:
                return args[0].plan.total(last)
        args, kwargs = tree_map(_elements, (args, kwargs))
        return function(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch declares a disabled one
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Asked from C++, where gradients are those of :class:`_Elements`."""
        args, kwargs = tree_map(_values, (args, kwargs or {}))
        return function(*args, **kwargs)


def _elements(value: Any) -> Any:
    return value.plan.elements() if isinstance(value, Deferred) else value


def _values(value: Any) -> Any:
    return value.plan.elements().detach() if isinstance(value, Deferred) else value


def _summed_dims(x: Any = None, dim: Any = None, keepdim: Any = False, **others: Any) -> int:
    """How many dimensions these arguments of ``sum`` name, if they are the last ones of something
    deferred, and disappear; else 0."""
    if not isinstance(x, Deferred) or keepdim or others:
        return 0
    ndim = len(x.plan.shape)
    dims = (dim,) if isinstance(dim, int) else tuple(range(ndim)) if dim is None else tuple(dim)
    named = {d % ndim if isinstance(d, int) and -ndim <= d < ndim else d for d in dims}
    return len(dims) if named == set(range(ndim - len(dims), ndim)) else 0


class _Elements(Function):
    """The elements' node in the graph, for what takes a :class:`Deferred` as it is: functions that
    others wrote, say."""

    @staticmethod
    def forward(ctx: Any, plan: _Plan, *tensors: Tensor) -> Tensor:
        ctx.plan = plan
        made: Deferred = Tensor._make_wrapper_subclass(
            Deferred, plan.shape, dtype=plan.dtype, device=tensors[0].device
        )
        made.plan = plan
        return made

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        again = torch.is_grad_enabled()
        with torch.enable_grad():  # of views, for an input may depend on another, or be another
            inputs = [tensor.view_as(tensor) for tensor in ctx.plan.unchanged()]
            elements = ctx.plan.summed(0, *inputs)
        wanted = ctx.needs_input_grad[1:]
        sources = [x for x, needed in zip(inputs, wanted, strict=True) if needed]
        found = iter(torch.autograd.grad(elements, sources, gradient, create_graph=again))
        return None, *[next(found) if needed else None for needed in wanted]
