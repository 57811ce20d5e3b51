"""The mixture of discretized logistics as the ports of PixelCNN++ and NVAE have it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def image_nll(params: Tensor, x: Tensor) -> Tensor:
    batch, channels, *pixels = params.shape
    k = channels // 10
    logits = params[:, :k]
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
    log_cdf_plus = plus - functional.softplus(plus)
    log_one_minus_cdf_minus = -functional.softplus(minus)
    cdf_delta = torch.sigmoid(plus) - torch.sigmoid(minus)
    middle = inverse * centred
    log_pdf_middle = middle - log_scales - 2.0 * functional.softplus(middle)
    inside = torch.where(
        cdf_delta > 1e-5,
        torch.log(torch.clamp(cdf_delta, min=1e-12)),
        log_pdf_middle - math.log(127.5),
    )
    last = torch.where(x > 0.999, log_one_minus_cdf_minus, inside)
    log_probs = torch.where(x < -0.999, log_cdf_plus, last).sum(1)
    log_probs = log_probs + torch.log_softmax(logits, dim=1)
    return -torch.logsumexp(log_probs, dim=1).flatten(1).sum(1).mean()
