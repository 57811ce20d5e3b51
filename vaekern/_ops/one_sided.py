"""A divergence of which each side gets a gradient of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.overrides import has_torch_function

from vaekern._backends.choice import backend_for
from vaekern._backends.launch import is_plain
from vaekern._ops.call import Call, run
from vaekern._ops.derivatives import gradients_of_inputs
from vaekern._ops.softmax import CategoricalKLOp
from vaekern._torch import forward_mode_active, stands_for_many, watchers


def one_sided(call: Call, of_posterior: int) -> tuple[Tensor, Tensor]:
    """KL(q || sg(p)) and KL(sg(q) || p), sg stopping gradients, where ``call`` would compute the
    divergence. Its first inputs, ``of_posterior`` of them, are those of q, the others of p."""
    if _is_regular(call):
        return _EvaluatedOnce.apply(call, of_posterior, *call.inputs)
    return stopping_gradients(call, of_posterior)


def stopping_gradients(call: Call, of_posterior: int) -> tuple[Tensor, Tensor]:
    """As it is written down."""
    q, p = call.inputs[:of_posterior], call.inputs[of_posterior:]
    of_q = run(call.of(*q, *[each.detach() for each in p]))
    return of_q, run(call.of(*[each.detach() for each in q], *p))


def _is_regular(call: Call) -> bool:
    """Whether nobody watches or transforms what happens (see ``_torch.py``), and gradients are not
    rounded to fewer digits before they meet their factors: where a kernel knows those, or digits
    are those of the arithmetic."""
    return not (
        torch.compiler.is_dynamo_compiling()
        or any([watches() for watches in watchers])
        or forward_mode_active()
        or has_torch_function(call.inputs)
        or backend_for(call.inputs[0].device) == "reference"
        or not (isinstance(call.op, CategoricalKLOp) or _keeps_digits(call))
    )


def _keeps_digits(call: Call) -> bool:
    return all([torch.finfo(each.dtype).bits >= 32 for each in call.inputs])


class _EvaluatedOnce(Function):
    """The same. Derivatives of the gradients are those of the formula."""

    @staticmethod
    def forward(ctx: Any, call: Call, of_posterior: int, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        ctx.call, ctx.of_posterior = call, of_posterior
        ctx.save_for_backward(*inputs)
        ctx.set_materialize_grads(False)
        value = run(call.of(*inputs))
        return value, value.clone()

    @staticmethod
    def backward(ctx: Any, of_q: Tensor | None, of_p: Tensor | None) -> Any:
        call, wanted = ctx.call.of(*ctx.saved_tensors), ctx.needs_input_grad[2:]
        sides = [of_q] * ctx.of_posterior + [of_p] * (len(wanted) - ctx.of_posterior)
        wanted = [g is not None and want for g, want in zip(sides, wanted, strict=True)]
        pull_back = _pulled_back_anew if torch.is_grad_enabled() else _pulled_back
        return (None, None, *pull_back(call, ctx.of_posterior, (of_q, of_p), wanted))


def _pulled_back_anew(
    call: Call, of_posterior: int, gradients: tuple[Tensor | None, ...], wanted: list[bool]
) -> list[Tensor | None]:
    """By the formula, to be differentiated again."""
    pairs = zip(stopping_gradients(call, of_posterior), gradients, strict=True)
    values, given = zip(*[pair for pair in pairs if pair[1] is not None], strict=True)
    at = [each for each, want in zip(call.inputs, wanted, strict=True) if want]
    found = iter(torch.autograd.grad(values, at, given, create_graph=True))
    return [next(found) if want else None for want in wanted]


def _pulled_back(
    call: Call, of_posterior: int, gradients: tuple[Tensor | None, ...], wanted: list[bool]
) -> list[Tensor | None]:
    """By one evaluation where a kernel knows both factors, or none meets a sum over datapoints."""
    of_q, of_p = gradients
    if of_q is None or of_p is None:
        return _pulled_back_apart(call, of_posterior, gradients, wanted)
    if isinstance(call.op, CategoricalKLOp) and _may_be_read(of_q, of_p, *call.inputs):
        attributes = (*call.attributes, backend_for(of_q.device))
        return call.op.gradients_of_sides((of_q, of_p), call.inputs, call.mask, wanted, attributes)
    if not (_keeps_digits(call) and all([t.shape == call.inputs[0].shape for t in call.inputs])):
        return _pulled_back_apart(call, of_posterior, gradients, wanted)
    found = _of_kernel(call, torch.ones_like(of_q), wanted)
    for k, each in enumerate(found):
        if each is not None:
            g = of_q if k < of_posterior else of_p
            each.mul_(g.reshape(*g.shape, *(1,) * (each.dim() - g.dim())))
    return found


def _may_be_read(*tensors: Tensor) -> bool:
    return is_plain(tensors) and not any([stands_for_many(tensor) for tensor in tensors])


def _pulled_back_apart(
    call: Call, of_posterior: int, gradients: tuple[Tensor | None, ...], wanted: list[bool]
) -> list[Tensor | None]:
    others = len(wanted) - of_posterior
    found = _of_kernel(call, gradients[0], wanted[:of_posterior] + [False] * others)
    other = _of_kernel(call, gradients[1], [False] * of_posterior + wanted[of_posterior:])
    return found[:of_posterior] + other[of_posterior:]


def _of_kernel(call: Call, gradient: Tensor | None, wanted: Sequence[bool]) -> list[Tensor | None]:
    if gradient is None or not any(wanted):
        return [None] * len(wanted)
    read = [call.inputs[k] for k in call.op.vjp_inputs]
    attributes = (*call.attributes, backend_for(gradient.device))
    return gradients_of_inputs(call.op, (gradient,), read, call.mask, wanted, attributes)
