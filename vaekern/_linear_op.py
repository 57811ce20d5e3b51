"""A linear layer and a likelihood of its outputs as one operation, registered with torch.

The outputs are computed some columns at a time, into a buffer that the next ones overwrite, and
computed again in the backward pass. Gradients of the weights sum over datapoints, each times its
upstream gradient, which the forward does not know: it could at best store the gradients of the
outputs, and needs all their memory for it. The price is one more matrix product, four instead of
three. Where the result is a sum over datapoints the upstream gradient is one number, and
``_linear_sum.py`` makes the gradients in the forward.

Columns, not rows: a chunk then gives finished rows of the weight's gradient, and what is summed
over chunks is the gradient of ``hidden`` alone, in float32. (``_linear_rows.py`` is for where that
will not do.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from vaekern._autograd import EagerVjp
from vaekern._compat import below_autograd, forward_mode_active, transforms_active
from vaekern._launch import accumulation_dtype, empty_contiguous, is_plain
from vaekern._linear_chunks import Gradients, cut_into_chunks
from vaekern._linear_heads import Head
from vaekern._op import _define, _wants_derivative


class LinearOp:
    """``head``'s likelihood of the outputs ``hidden @ weight.T + bias``.

    The inputs are hidden [rows, features], weight [outputs, features], bias [outputs] and the
    head's; then come the head's attributes, the number of columns in a chunk (0: chosen here) and
    the backend. The result is a list: the value of each row, and what the backward needs of it.
    """

    def __init__(self, head: Head) -> None:
        self.head = head
        self.inputs = ("hidden", "weight", "bias", *head.inputs)
        self.vjp_inputs = tuple(range(len(self.inputs)))
        tensors = ", ".join(f"Tensor {name}" for name in self.inputs)
        state = "".join(f"Tensor {name}, " for name in head.state)
        attributes = f"{head.attributes}int chunk, str backend"
        name = f"linear_{head.name}"
        self.op = _define(
            f"{name}({tensors}, {attributes}) -> Tensor[]",
            kernel=self._kernel,
            fake=self._fake,
            autograd=self.differentiable,
        )
        self.vjp_op = _define(
            f"{name}_vjp(Tensor g, {tensors}, {state}bool[] wanted, {attributes}) -> Tensor[]",
            kernel=self._vjp_kernel,
            fake=self._fake_vjp,
            autograd=self.differentiable_vjp,
        )

    # --- calling ------------------------------------------------------------------------------

    def __call__(self, *args: Any) -> Tensor:
        """The value of each row, differentiable."""
        results = self.op(*args) if torch.compiler.is_compiling() else self.differentiable(*args)
        value: Tensor = results[0]
        return value

    def differentiable(self, *args: Any) -> list[Tensor]:
        """The Autograd kernel. ``torch.func`` and forward mode get the composed functions, which
        hold all outputs."""
        if transforms_active() or forward_mode_active():
            return [self._composed(*args)]
        if _wants_derivative(args):
            return list(_Eager.apply(self, *args))
        return self.execute(*args)

    def vjp(self, *args: Any) -> list[Tensor]:
        if torch.compiler.is_compiling():
            return self.vjp_op(*args)
        return self.differentiable_vjp(*args)

    def differentiable_vjp(self, *args: Any) -> list[Tensor]:
        if _wants_derivative(args):
            return list(EagerVjp.apply(_SecondOrder(self), *args))
        return self.execute_vjp(*args)

    def execute(self, *args: Any) -> list[Tensor]:
        if is_plain(args):
            return self._kernel(*args)
        with below_autograd():
            return self.op(*args)

    def execute_vjp(self, *args: Any) -> list[Tensor]:
        if is_plain(args):
            return self._vjp_kernel(*args)
        with below_autograd():
            return self.vjp_op(*args)

    def plain(self, *args: Any) -> Tensor:
        """The value of each row in torch operations, from all outputs at once."""
        tensors, (*attributes, _chunk, backend) = self.split(args)
        outputs = functional.linear(*tensors[:3])
        return self.head.plain(outputs, *tensors[3:], *attributes, backend)

    def _composed(self, *args: Any) -> Tensor:
        tensors, (*attributes, _chunk, backend) = self.split(args)
        outputs = functional.linear(*tensors[:3])
        return self.head.composed(outputs, *tensors[3:], *attributes, backend)

    def split(self, args: Sequence[Any]) -> tuple[Sequence[Tensor], Sequence[Any]]:
        """Inputs and attributes."""
        return args[: len(self.inputs)], args[len(self.inputs) :]

    def split_vjp(
        self, args: Sequence[Any]
    ) -> tuple[Tensor, Sequence[Tensor], Sequence[Tensor], Sequence[bool], Sequence[Any]]:
        """Gradient of the value, inputs, state, which inputs want a gradient, attributes."""
        n, m = 1 + len(self.inputs), 1 + len(self.inputs) + len(self.head.state)
        return args[0], args[1:n], args[n:m], args[m], args[m + 1 :]

    def value_and_gradients(
        self, g: Tensor, args: Sequence[Any], wanted: Sequence[bool]
    ) -> tuple[Tensor, list[Tensor]]:
        """The value of each row, and the wanted gradients for an upstream one that is known."""
        tensors, attributes = self.split(args)
        width = attributes[-2]
        return self.head.value_and_gradients(g, tensors, wanted, width, _of_head(attributes))

    # --- kernels: reached with plain CPU or CUDA tensors only ---------------------------------

    def _kernel(self, *args: Any) -> list[Tensor]:
        tensors, attributes = self.split(args)
        rows = tensors[0].new_zeros(tensors[0].shape[0], dtype=torch.float64)
        found = self.head.value(
            cut_into_chunks(tensors, attributes[-2]), rows, _of_head(attributes)
        )
        return [result.to(accumulation_dtype(tensors)) for result in found]

    def _vjp_kernel(self, *args: Any) -> list[Tensor]:
        g, tensors, state, wanted, attributes = self.split_vjp(args)
        gradients = Gradients(tensors, wanted)
        for chunk in cut_into_chunks(tensors, attributes[-2]):
            found = self.head.vjp(g, chunk, state, wanted[3:], _of_head(attributes))
            gradients.add(chunk, found)
        return gradients.results()

    # --- shapes and dtypes of the results -----------------------------------------------------

    def _fake(self, *args: Any) -> list[Tensor]:
        tensors, _ = self.split(args)
        hidden, wide = tensors[0], accumulation_dtype(tensors)
        return [hidden.new_empty(hidden.shape[:1], dtype=wide)
                for _ in range(1 + len(self.head.state))]  # fmt: skip

    def _fake_vjp(self, *args: Any) -> list[Tensor]:
        _, tensors, _, wanted, _ = self.split_vjp(args)
        return [empty_contiguous(t, t.dtype) for t, w in zip(tensors, wanted, strict=True) if w]


class _Eager(Function):
    @staticmethod
    def forward(ctx: Any, op: LinearOp, *args: Any) -> Any:
        tensors, attributes = op.split(args)
        value, *state = op.execute(*args)
        ctx.op, ctx.attributes = op, attributes
        ctx.save_for_backward(*tensors, *state)
        ctx.mark_non_differentiable(*state)
        ctx.set_materialize_grads(False)
        return (value, *state)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        op: LinearOp = ctx.op
        wanted = ctx.needs_input_grad[1 : 1 + len(op.inputs)]
        of_inputs: list[Tensor | None] = [None] * len(wanted)
        if gradients[0] is not None:
            found = iter(op.vjp(gradients[0], *ctx.saved_tensors, list(wanted), *ctx.attributes))
            of_inputs = [next(found) if want else None for want in wanted]
        return (None, *of_inputs, *(None,) * len(ctx.attributes))


class _SecondOrder:
    """What :class:`EagerVjp` asks of an operation: the derivative of a vjp is that of the plain
    version's, which has no use for the state. There is no mask."""

    def __init__(self, op: LinearOp) -> None:
        self.op = op
        self.inputs = op.inputs
        self.vjp_inputs = op.vjp_inputs
        self.execute_vjp = op.execute_vjp

    def split_vjp(
        self, args: Sequence[Any]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor], None, Sequence[bool], Sequence[Any]]:
        g, tensors, state, wanted, attributes = self.op.split_vjp(args)
        return (g,), (*tensors, *state), None, wanted, attributes

    def mask_slot(self, mask: None) -> tuple[()]:
        return ()

    def on_plain_torch(
        self, tensors: Sequence[Tensor], mask: None, attributes: Sequence[Any]
    ) -> Tensor:
        return self.op.plain(*tensors, *attributes, "reference")


def _of_head(attributes: Sequence[Any]) -> tuple[Any, ...]:
    """All but the chunk's width."""
    return (*attributes[:-2], attributes[-1])
