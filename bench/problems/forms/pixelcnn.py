"""The mixture of discretized logistics as the ports of PixelCNN++ and NVAE have it, and the same
with a logarithm that does not cancel."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from operations.description import Form
from torch import Tensor
from torch.nn import functional


def _image_nll(
    params: Tensor, x: Tensor, log_inside: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    batch, channels, *pixels = params.shape
    k = channels // 10
    colours = params[:, k:].reshape(batch, 3, 3 * k, *pixels)
    log_scales = torch.clamp(colours[:, :, k : 2 * k], min=-7.0)
    coefficients = torch.tanh(colours[:, :, 2 * k :])
    x = x.unsqueeze(2).expand(batch, 3, k, *pixels)
    red = colours[:, 0, :k]
    green = colours[:, 1, :k] + coefficients[:, 0] * x[:, 0]
    blue = colours[:, 2, :k] + coefficients[:, 1] * x[:, 0] + coefficients[:, 2] * x[:, 1]
    centred = x - torch.stack([red, green, blue], dim=1)
    inverse = torch.exp(-log_scales)
    plus, minus = inverse * (centred + 1.0 / 255.0), inverse * (centred - 1.0 / 255.0)
    inside = log_inside(plus, minus, inverse * centred, log_scales)
    last = torch.where(x > 0.999, -functional.softplus(minus), inside)
    log_probs = torch.where(x < -0.999, plus - functional.softplus(plus), last).sum(1)
    log_probs = log_probs + torch.log_softmax(params[:, :k], dim=1)
    return -torch.logsumexp(log_probs, dim=1).flatten(1).sum(1).mean()


def _difference(plus: Tensor, minus: Tensor, middle: Tensor, log_scales: Tensor) -> Tensor:
    delta = torch.sigmoid(plus) - torch.sigmoid(minus)
    log_pdf_middle = middle - log_scales - 2.0 * functional.softplus(middle)
    clamped = torch.log(torch.clamp(delta, min=1e-12))
    return torch.where(delta > 1e-5, clamped, log_pdf_middle - math.log(127.5))


def _product(plus: Tensor, minus: Tensor, _: Tensor, log_scales: Tensor) -> Tensor:
    share = torch.log(-torch.expm1(-2.0 / 255.0 * torch.exp(-log_scales)))
    return functional.logsigmoid(plus) + functional.logsigmoid(-minus) + share


def precise_image_nll(params: Tensor, x: Tensor) -> Tensor:
    return _image_nll(params, x, _product)


def _usual_image_nll(params: Tensor, x: Tensor) -> Tensor:
    return _image_nll(params, x, _difference)


FORMS: dict[str, Form] = {"image_nll": _usual_image_nll}
