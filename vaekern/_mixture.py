"""Mixtures over planes: an operation that is no pointwise function of a few operands.

A datapoint's parameters are planes of numbers, one for each pixel: the logits of the K components'
weights, then K planes for each parameter of a component. The kernels visit each pixel's components
one after the other, forward and again in the backward; nothing of a component is stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vaekern._backend import backend_named
from vaekern._launch import Mixture, accumulation_dtype
from vaekern._op import DATAPOINT, Op
from vaekern._plain import discretized_logistic, image, per_datapoint, widen

#: Of red, green and blue: a mean, a log-scale and a coefficient each, and the weight's logit.
PLANES = 10
LEAST_LOG_SCALE = -7.0


class MixtureOp(Op):
    """One with the inputs ``params`` [*batch, PLANES * K, *pixels] and ``x`` [*batch, 3, *pixels],
    of which the first gets gradients."""

    broadcasts = False

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


def conditional_means(parameters: Sequence[Tensor], x: Sequence[Tensor]) -> list[Tensor]:
    """Of red, green and blue: each follows the colours before it. ``parameters`` are a mean, a
    log-scale and a coefficient for each colour."""
    red, _, c0, green, _, c1, blue, _, c2 = parameters
    return [
        red,
        green + torch.tanh(c0) * x[0],
        blue + torch.tanh(c1) * x[0] + torch.tanh(c2) * x[1],
    ]


def logistic_mixture_log_likelihood(params: Tensor, x: Tensor, batch_dims: int) -> Tensor:
    (params,) = widen(params, *([x] if x.is_floating_point() else []))[:1]
    colours = image(x, params, "signed").to(params.dtype).unsqueeze(batch_dims + 1)
    observed = colours.unbind(batch_dims)
    planes = params.unflatten(batch_dims, (PLANES, -1)).unbind(batch_dims)
    logits, parameters = planes[0], planes[1:]
    joint = functional.log_softmax(logits, batch_dims)
    for c, mean in enumerate(conditional_means(parameters, observed)):
        # No clamp: versions of torch differ in its gradient on the bound.
        log_scale = parameters[3 * c + 1]
        log_scale = torch.where(log_scale < LEAST_LOG_SCALE, LEAST_LOG_SCALE, log_scale)
        joint = joint + discretized_logistic(mean, log_scale, observed[c])
    return per_datapoint(torch.logsumexp(joint, batch_dims), batch_dims)


LOGISTIC_MIXTURE = MixtureOp(
    logistic_mixture_log_likelihood,
    inputs=("params", "x"),
    results=(DATAPOINT,),
    scaled=False,
    uint8_range="signed",
)
