"""Maximum mean discrepancy: a divergence of two sets of samples."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._checks import check_batch_dims, check_float
from vaekern._torch import shape_to_compare
from vaekern._validation.checks import check_numbers
from vaekern.objectives._distances import squared_distances


def mmd(
    z: Tensor,
    prior_z: Tensor,
    *,
    bandwidth: float | None = None,
    unbiased: bool = False,
    batch_dims: int = 1,
) -> Tensor:
    r"""Squared maximum mean discrepancy of two sets of samples, with a Gaussian kernel.

    .. math:: E[k(z, z')] + E[k(y, y')] - 2 E[k(z, y)], \qquad k(a, b) = e^{-\|a-b\|^2 / 2 s}

    between samples z of the aggregate posterior and y of the prior: the divergence of InfoVAE
    (Zhao et al. 2017; estimators: Gretton et al. 2012, eq. 3 and 5). Memory grows with the
    squares of the numbers of samples, not with those times the latent size.

    Args:
        z: samples [*batch, *latent]. Gets gradients.
        prior_z: samples [*other batch, *latent]. Gets gradients.
        bandwidth: s, a squared length; by default the number of latent dimensions, for which two
            samples of N(0, 1) have an exponent of about -1.
        unbiased: leave pairs of a sample with itself out: right on average, and may be negative.
        batch_dims: how many leading dimensions index samples.

    Returns:
        The estimate, a scalar; float32 for half precision.

    Raises:
        ValueError: latent shapes or devices differ, there are too few samples, or ``bandwidth``
            is not positive.
        TypeError: an argument is no floating-point tensor.
    """
    check_float("z", z)
    check_float("prior_z", prior_z)
    check_batch_dims(batch_dims, "z", z)
    fits = shape_to_compare(z)[batch_dims:] == shape_to_compare(prior_z)[batch_dims:]
    if not fits or z.device != prior_z.device:
        raise ValueError(
            f"prior_z: expected latents of shape {tuple(z.shape[batch_dims:])} on {z.device}, "
            f"got {tuple(prior_z.shape[batch_dims:])} on {prior_z.device}"
        )
    check_numbers(z=z, prior_z=prior_z)
    width = float(z.shape[batch_dims:].numel()) if bandwidth is None else bandwidth
    if not width > 0.0:
        raise ValueError(f"bandwidth: expected a positive number, got {width}")
    least, wide = 2 if unbiased else 1, accumulation_dtype((z, prior_z))
    a = _rows("z", z, batch_dims, least).to(wide)
    b = _rows("prior_z", prior_z, batch_dims, least).to(wide)
    own = _mean_kernel(a, a, width, off_diagonal=unbiased)
    own = own + _mean_kernel(b, b, width, off_diagonal=unbiased)
    return own - 2.0 * _mean_kernel(a, b, width)


def _rows(name: str, samples: Tensor, batch_dims: int, least: int) -> Tensor:
    number = samples.shape[:batch_dims].numel()
    if number < least:
        raise ValueError(f"{name}: expected at least {least} samples, got {number}")
    return samples.reshape(number, samples.shape[batch_dims:].numel())


def _mean_kernel(a: Tensor, b: Tensor, width: float, *, off_diagonal: bool = False) -> Tensor:
    kernel = torch.exp(squared_distances(a, b) / (-2.0 * width))
    if not off_diagonal:
        return kernel.mean()
    return (kernel.sum() - kernel.diagonal().sum()) / (kernel.numel() - a.shape[0])
