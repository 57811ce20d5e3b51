"""How a :class:`~vaekern._ops.base.Operation` is differentiated, however it is called.

- Eager code goes through :class:`Eager`, ``torch.func`` transforms through :class:`Functional`,
  which adds a vmap rule; both share :class:`_Rules`. Each kernel call is a node of its own, so a
  backward may run twice, and nothing saved is ever written to.
- A vjp is differentiable too (double backward): :class:`EagerVjp` and :class:`FunctionalVjp` take
  the derivative of the plain torch version, which is rarely wanted and never hot.

Dynamo never sees these classes: it sees the registered ops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from vaekern._backends import fast
from vaekern._ops.base import Operation
from vaekern._ops.batching import batch_inputs, in_front_if_any
from vaekern._ops.derivatives import (
    gradients_of_inputs,
    plain_vjp,
    push_forward,
    pushed_by_pulling,
)
from vaekern._torch import (
    below_autograd,
    forward_mode_active,
    replace_backward,
    transforms_active,
)


class _Rules(Function):
    @staticmethod
    def save(ctx: Any, op: Operation, args: Sequence[Any], results: Any) -> None:
        tensors, mask, attributes = op.split(args)
        kept = results[len(op.results) :] if op.kept else ()
        ctx.op, ctx.attributes = op, attributes
        ctx.save_for_backward(*[tensors[k] for k in op.vjp_inputs], *kept, mask)
        if transforms_active() or forward_mode_active():
            ctx.save_for_forward(*tensors, *kept, mask)
        if kept:
            ctx.mark_non_differentiable(*kept)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        op: Operation = ctx.op
        wanted = ctx.needs_input_grad[1 : 1 + len(op.inputs)]
        found = _pulled_back(op, gradients, ctx.saved_tensors, wanted, ctx.attributes)
        return (None, *found, *op.mask_slot(None), *(None,) * len(ctx.attributes))

    @staticmethod
    def jvp(ctx: Any, _op: Any, *tangents: Any) -> Any:
        op: Operation = ctx.op
        *tensors, mask = ctx.saved_tensors
        return push_forward(op, tensors, mask, tangents[: len(op.inputs)], ctx.attributes)


class Eager(_Rules):
    """Context style: 17 microseconds cheaper per call than ``setup_context``, for which torch
    inspects the signature every time."""

    @staticmethod
    def forward(ctx: Any, op: Operation, *args: Any) -> Any:
        results = op.execute(*args)
        _Rules.save(ctx, op, args, results)
        return results


class _Regular(Function):
    """By the fast path, which has computed the results: no transform or forward-mode derivative is
    active."""

    forward = fast.node_forward

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        op, _, attributes = ctx.known
        saved, wanted = ctx.saved_tensors, ctx.needs_input_grad
        return (None, *_pulled_back(op, gradients, saved, wanted[1:], attributes))


def node_maker(kind: type[Function]) -> Callable[..., Any]:
    """What makes the fast path's nodes of a kind, whose ``backward`` is then for what is irregular:
    the extension is asked first (``csrc/exchange/node.h``). ``Function.apply`` would look for
    functorch, and unwrap its dead tensors: none are regular."""
    replace_backward(kind, fast.node_backward)
    base: Any = super(Function, kind)
    apply: Callable[..., Any] = base.apply
    return apply


apply_regular = node_maker(_Regular)


class Functional(_Rules):
    @staticmethod
    def forward(op: Operation, *args: Any) -> Any:
        with below_autograd():
            return op.op(*args)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _Rules.save(ctx, inputs[0], inputs[1:], output)

    @staticmethod
    def vmap(info: Any, in_dims: Any, op: Operation, *args: Any) -> Any:
        tensors, mask, (batch_dims, *others) = op.split(args)
        batched = batch_inputs(op, info.batch_size, tensors, in_dims[1:], others[-1])
        mask = in_front_if_any(info.batch_size, mask, in_dims[1 + len(tensors)])
        slot = op.mask_slot(mask)
        results = op.differentiable(*batched, *slot, batch_dims + 1, *others)
        return results, 0 if isinstance(results, Tensor) else (0,) * len(results)


class _VjpRules(Function):
    """Derivatives of a vjp: those of the plain torch version."""

    @staticmethod
    def save(ctx: Any, op: Operation, args: Sequence[Any]) -> None:
        gradients, read, mask, wanted, attributes = op.split_vjp(args)
        ctx.op, ctx.others = op, (wanted, *attributes)
        ctx.save_for_backward(*gradients, *read, *op.mask_slot(mask))
        ctx.save_for_forward(*gradients, *read, *op.mask_slot(mask))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        needs = ctx.needs_input_grad[1 : 1 + len(ctx.saved_tensors)]
        function, values, at = _plain_vjp_of(ctx, needs)
        pull_back = torch.func.vjp(function, *values)[1]
        found = dict(zip(at, pull_back(gradients), strict=True))
        return (None, *[found.get(k) for k in range(len(needs))], *(None,) * len(ctx.others))

    @staticmethod
    def jvp(ctx: Any, _op: Any, *tangents: Any) -> Any:
        tangents = tangents[: len(ctx.saved_tensors)]
        function, values, at = _plain_vjp_of(ctx, [t is not None for t in tangents])
        return pushed_by_pulling(function, values, [tangents[k] for k in at])


def _plain_vjp_of(
    ctx: Any, varied: Sequence[bool]
) -> tuple[Callable[..., Any], list[Tensor], list[int]]:
    """The plain vjp as a function of some of its tensors; their values and positions."""
    tensors = list(ctx.saved_tensors)
    at = [k for k, is_varied in enumerate(varied) if is_varied]

    def function(*values: Tensor) -> Any:
        for k, value in zip(at, values, strict=True):
            tensors[k] = value
        return plain_vjp(ctx.op, *tensors, *ctx.others)

    return function, [tensors[k] for k in at], at


class EagerVjp(_VjpRules):
    @staticmethod
    def forward(ctx: Any, op: Operation, *args: Any) -> Any:
        _VjpRules.save(ctx, op, args)
        return tuple(op.execute_vjp(*args))


class FunctionalVjp(_VjpRules):
    @staticmethod
    def forward(op: Operation, *args: Any) -> Any:
        with below_autograd():
            return tuple(op.vjp_op(*args))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _VjpRules.save(ctx, inputs[0], inputs[1:])

    @staticmethod
    def vmap(info: Any, in_dims: Any, op: Operation, *args: Any) -> Any:
        gradients, read, mask, wanted, (batch_dims, *others) = op.split_vjp(args)
        n_g, n = 1 + len(gradients), 1 + len(gradients) + len(read)
        batched: list[Any] = [
            in_front_if_any(info.batch_size, g, dim)
            for g, dim in zip(gradients, in_dims[1:n_g], strict=True)
        ]
        batched += batch_inputs(op, info.batch_size, read, in_dims[n_g:], others[-1])
        batched += op.mask_slot(in_front_if_any(info.batch_size, mask, in_dims[n]))
        results = op.differentiable_vjp(*batched, wanted, batch_dims + 1, *others)
        return tuple(results), (0,) * len(results)


def _pulled_back(
    op: Operation,
    gradients: Sequence[Tensor | None],
    saved: Sequence[Any],
    wanted: Sequence[bool],
    attributes: Sequence[Any],
) -> Sequence[Tensor | None]:
    """The gradient of every input, of what a node of the graph is given and has saved."""
    gradients = gradients[: len(op.results)]
    if not any([g is not None for g in gradients]):
        return (None,) * len(op.inputs)
    *read, mask = saved
    return gradients_of_inputs(op, gradients, read, mask, wanted, attributes)
