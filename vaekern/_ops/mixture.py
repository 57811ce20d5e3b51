"""Mixtures over planes: an operation that is no pointwise function of a few operands.

A datapoint's parameters are planes of numbers, one for each pixel: the logits of the K components'
weights, then K planes for each parameter of a component. The kernels visit each pixel's components
one after the other, forward and again in the backward; nothing of a component is stored.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from vaekern._backends import fast
from vaekern._backends.choice import backend_named
from vaekern._backends.launch import Mixture, accumulation_dtype
from vaekern._backends.plain import PLANES
from vaekern._ops.autograd import apply_regular
from vaekern._ops.elementwise import Op


class MixtureOp(Op):
    """One with the inputs ``params`` [*batch, PLANES * K, *pixels] and ``x`` [*batch, 3, *pixels],
    of which the first gets gradients."""

    broadcasts = False
    finds_partials = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fast = fast.plan_of_mixture(self, apply_regular, PLANES)

    def _kernel(self, *args: Any) -> Tensor:
        (params, x), _, (batch_dims, backend) = self.split(args)
        value = params.new_empty(params.shape[:batch_dims], dtype=accumulation_dtype((params, x)))
        if params.numel() == 0:
            return value.zero_()
        backend_named(backend).mixture(_described(params, x, batch_dims), None, value)
        return value

    def _vjp_kernel(self, *args: Any) -> list[Tensor]:
        (g,), (params, x), _, wanted, (batch_dims, name) = self.split_vjp(args)
        if wanted[1]:
            raise NotImplementedError(f"{self.name}: x gets no derivative")
        if not wanted[0]:
            return []
        backend = backend_named(name)
        gradient = backend.empty(params, params.dtype)
        if g is None or params.numel() == 0:
            return [gradient.zero_()]
        backend.mixture(_described(params, x, batch_dims), g.contiguous(), gradient)
        return [gradient]


def _described(params: Tensor, x: Tensor, batch_dims: int) -> Mixture:
    shape = params.shape
    components = shape[batch_dims] // PLANES
    sizes = math.prod(shape[:batch_dims]), components, math.prod(shape[batch_dims + 1 :])
    return Mixture(sizes, params.contiguous(), x.contiguous())
