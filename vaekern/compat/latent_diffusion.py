"""The reconstruction term of latent-diffusion's autoencoder loss, ``LPIPSWithDiscriminator``."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeGuard

import torch
from torch import Tensor

from vaekern._checks import check_device, check_like, number_or_scalar
from vaekern.compat._tensors import formula_dtype
from vaekern.functional import laplace_log_likelihood

__all__ = ["ReconstructionLosses", "reconstruction_losses"]

#: Of the scale whose Laplace density is 1 at its location: then log p(x) = -2 |x - m|.
_UNNORMALISED = -math.log(2.0)


class ReconstructionLosses(NamedTuple):
    """By the names that they have in ``LPIPSWithDiscriminator.forward``."""

    nll_loss: Tensor
    weighted_nll_loss: Tensor
    rec_loss: Tensor


def reconstruction_losses(
    inputs: Tensor,
    reconstructions: Tensor,
    logvar: Tensor | float,
    *,
    p_loss: Tensor | None = None,
    perceptual_weight: float = 1.0,
    weights: Tensor | float | None = None,
) -> ReconstructionLosses:
    r"""Absolute and perceptual deviations over a learned scale, summed over all elements of a
    batch and divided by its size B:

    .. math:: \frac1B \sum w \Bigl(\frac{|x - \hat x| + c\,p}{e^v} + v\Bigr)

    (``ldm/modules/losses/contperceptual.py`` of CompVis/latent-diffusion; Rombach et al. 2022.)
    Without p, this is the Laplace negative log-likelihood of scale :math:`e^v`, whatever the name
    of ``logvar``, but for its constant log 2 per element.

    Args:
        inputs: x, [B, ...]. Gets gradients.
        reconstructions: of the same shape. Gets gradients.
        logvar: v, a number or a scalar tensor. Gets gradients.
        p_loss: p, the perceptual distance: [B, 1, 1, 1] from LPIPS, or any other shape that
            broadcasts to that of ``inputs``. Gets gradients.
        perceptual_weight: c.
        weights: w, a number or a tensor that broadcasts to the shape of ``inputs``. Gets
            gradients. Weights of datapoints, [B, 1, 1, 1], cost less than those of elements.

    Returns:
        ``nll_loss``, which has w = 1, ``weighted_nll_loss``, and for logs ``rec_loss``, the mean
        of :math:`|x - \hat x| + c\,p` without gradients. Scalars, of the dtype that the formula
        has in torch operations.

    Raises:
        ValueError: shapes or devices do not fit.
        TypeError: ``logvar`` is neither a number nor a tensor.
    """
    check_like("inputs", inputs, "reconstructions", reconstructions)
    number_or_scalar("logvar", logvar)
    dtype = formula_dtype(*[t for t in (reconstructions, inputs, p_loss, weights) if _has_dims(t)])
    p = _aligned("p_loss", 0.0 if p_loss is None else p_loss, reconstructions)
    w = _aligned("weights", 1.0 if weights is None else weights, reconstructions)

    # The formula of the original, on sums over the trailing dimensions in which p and w are one.
    deviations, size = _absolute_deviations(inputs, reconstructions, _dims_that_vary(p, w))
    v = torch.as_tensor(logvar, dtype=deviations.dtype, device=deviations.device)
    rec_loss = torch.add(deviations, p, alpha=perceptual_weight * size)
    nll_loss = rec_loss * torch.exp(-v) + size * v
    per_datapoint = [total.sum() / inputs.shape[0] for total in (nll_loss, w * nll_loss)]
    mean = rec_loss.detach().sum() / inputs.numel()
    return ReconstructionLosses(*[value.to(dtype) for value in (*per_datapoint, mean)])


def _aligned(name: str, value: Tensor | float, like: Tensor) -> Tensor | float:
    """A tensor with as many dimensions as ``like``, each of its size or 1; or a number."""
    if not isinstance(value, Tensor):
        return value
    check_device(name, value, "reconstructions", like)
    shape = (1,) * (like.dim() - value.dim()) + value.shape
    fits = [own in (1, full) for own, full in zip(shape, like.shape, strict=False)]
    if len(shape) == like.dim() and all(fits):
        return value.reshape(shape)
    raise ValueError(
        f"{name}: expected a shape that broadcasts to that of reconstructions, "
        f"{tuple(like.shape)}, got {tuple(value.shape)}"
    )


def _has_dims(value: object) -> TypeGuard[Tensor]:
    """Only such tensors have a say in the dtype of a formula."""
    return isinstance(value, Tensor) and value.dim() > 0


def _dims_that_vary(*values: Tensor | float) -> int:
    """How many leading dimensions there are up to the last one of a size other than 1."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    varying = [k for tensor in tensors for k, size in enumerate(tensor.shape) if size != 1]
    return max(varying, default=-1) + 1


def _absolute_deviations(x: Tensor, loc: Tensor, kept: int) -> tuple[Tensor, int]:
    """Summed over all dimensions but the first ``kept``, of size 1 thereafter, and over how many
    elements each."""
    if not x.is_floating_point():
        x = x.to(loc.dtype)  # numbers, not intensities
    log_density = laplace_log_likelihood(loc, x, _UNNORMALISED, batch_dims=kept)
    summed = loc.shape[kept:]
    return log_density.reshape(*loc.shape[:kept], *(1,) * len(summed)) / -2.0, summed.numel()
