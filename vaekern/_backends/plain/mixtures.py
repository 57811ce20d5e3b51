from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from vaekern._backends.plain.elements import image, per_datapoint, widen
from vaekern._backends.plain.locations import discretized_logistic

__all__ = ["LEAST_LOG_SCALE", "PLANES", "conditional_means", "logistic_mixture_log_likelihood"]

#: Of red, green and blue: a mean, a log-scale and a coefficient each, and the weight's logit.
PLANES = 10
LEAST_LOG_SCALE = -7.0


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
