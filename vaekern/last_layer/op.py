"""A linear layer and a likelihood of its outputs as one operation, registered with torch.

The outputs are computed some columns at a time, into a buffer that the next ones overwrite, and
computed again in the backward pass. Gradients of the weights sum over datapoints, each times its
upstream gradient, which the forward does not know: it could at best store the gradients of the
outputs, and needs all their memory for it. The price is one more matrix product, four instead of
three. Where the result is a sum over datapoints the upstream gradient is one number, and
``sums.py`` makes the gradients in the forward.

Columns, not rows: a chunk then gives finished rows of the weight's gradient, and what is summed
over chunks is the gradient of ``hidden`` alone, in float32. (``rows.py`` is for where that
will not do.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vaekern._backends.launch import accumulation_dtype, empty_contiguous
from vaekern._ops.base import DATAPOINT
from vaekern._ops.derivatives import plain_vjp
from vaekern._ops.registration import RegisteredOp
from vaekern._torch import forward_mode_active, transforms_active
from vaekern.last_layer.chunks import Gradients, cut_into_chunks
from vaekern.last_layer.heads import Head


class LinearOp(RegisteredOp):
    """``head``'s likelihood of the outputs ``hidden @ weight.T + bias``, one number per row.

    The inputs are hidden [rows, features], weight [outputs, features], bias [outputs] and the
    head's; then come the head's attributes, the number of columns in a chunk (0: chosen here) and
    the backend.
    """

    broadcasts = False

    def __init__(self, head: Head) -> None:
        self.head = head
        super().__init__(
            f"linear_{head.name}",
            ("hidden", "weight", "bias", *head.inputs),
            (DATAPOINT,),
            f"{head.attributes}int chunk, str backend",
            kept=head.state,
        )

    def differentiable(self, *args: Any) -> Any:
        """``torch.func`` and forward mode get the composed functions, which hold all outputs, and
        keep nothing."""
        if not transforms_active() and not forward_mode_active():
            return super().differentiable(*args)
        tensors, _, (*attributes, _chunk, backend) = self.split(args)
        outputs = functional.linear(*tensors[:3])
        value = self.head.composed(outputs, *tensors[3:], *attributes, backend)
        return (value, *[torch.zeros_like(value) for _ in self.kept]) if self.kept else value

    def differentiable_vjp(self, *args: Any) -> list[Tensor]:
        if transforms_active():
            return list(plain_vjp(self, *args))
        return super().differentiable_vjp(*args)

    def on_plain_torch(
        self, tensors: Sequence[Tensor], mask: Tensor | None, attributes: Sequence[Any]
    ) -> Tensor:
        """From all outputs at once."""
        *of_head, _chunk = attributes
        return self.head.plain(functional.linear(*tensors[:3]), *tensors[3:], *of_head)

    def value_and_gradients(
        self, g: Tensor, args: Sequence[Any], wanted: Sequence[bool]
    ) -> tuple[Tensor, list[Tensor]]:
        """The value of each row, and the wanted gradients for an upstream one that is known."""
        tensors, _, (*of_head, width, backend) = self.split(args)
        return self.head.value_and_gradients(g, tensors, wanted, width, (*of_head, backend))

    # --- kernels: reached with plain CPU or CUDA tensors only ---------------------------------

    def _kernel(self, *args: Any) -> Any:
        tensors, _, (*of_head, width, backend) = self.split(args)
        rows = tensors[0].new_zeros(tensors[0].shape[0], dtype=torch.float64)
        found = self.head.value(cut_into_chunks(tensors, width), rows, (*of_head, backend))
        return _one_or_more([found[0].to(accumulation_dtype(tensors)), *found[1:]])

    def _vjp_kernel(self, *args: Any) -> list[Tensor]:
        (g,), read, _, wanted, (*of_head, width, backend) = self.split_vjp(args)
        assert g is not None  # the only result's
        tensors, state = read[: len(self.inputs)], read[len(self.inputs) :]
        gradients = Gradients(tensors, wanted)
        for chunk in cut_into_chunks(tensors, width):
            found = self.head.vjp(g, chunk, state, wanted[3:], (*of_head, backend))
            gradients.add(chunk, found)
        return gradients.results()

    # --- shapes and dtypes of the results -----------------------------------------------------

    def _fake(self, *args: Any) -> Any:
        tensors, _, _ = self.split(args)
        hidden = tensors[0]
        dtypes = [accumulation_dtype(tensors), *[torch.float64 for _ in self.kept]]
        return _one_or_more([hidden.new_empty(hidden.shape[:1], dtype=dtype) for dtype in dtypes])

    def _fake_vjp(self, *args: Any) -> list[Tensor]:
        _, read, _, wanted, _ = self.split_vjp(args)
        tensors = read[: len(self.inputs)]
        return [empty_contiguous(t, t.dtype) for t, w in zip(tensors, wanted, strict=True) if w]


def _one_or_more(results: list[Tensor]) -> Any:
    """What an op returns."""
    return results[0] if len(results) == 1 else tuple(results)
