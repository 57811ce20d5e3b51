"""Bounds on log p(x) from importance weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import log_sum_exp
from vaekern._checks import check_float, check_number
from vaekern._torch import shape_to_compare
from vaekern._validation.checks import check_numbers


def importance_weighted_bound(log_weights: Tensor) -> Tensor:
    r"""The importance-weighted bound on log p(x), per datapoint in nats.

    .. math:: \log \frac1K \sum_k w_k, \qquad w_k = p(x, z_k) / q(z_k \mid x)

    (Burda et al. 2016, eq. 8.) With K = 1 it is the single-sample ELBO. The gradient with respect
    to the log-weights is the normalised weights, :math:`\tilde w_k = w_k / \sum_j w_j` (their
    section 3), through which no further gradient flows: nothing has to be detached.

    Args:
        log_weights: log p(x, z) - log q(z | x) of K samples of each datapoint [K, ...], see
            :func:`log_weights`. Gets gradients.

    Returns:
        The bound, the shape ``log_weights.shape[1:]``; float32 for half precision. Where every
        weight is 0 it is -inf, without a gradient (NaN).

    Raises:
        ValueError: there is no sample.
        TypeError: ``log_weights`` is no floating-point tensor.
    """
    log_weights = _checked(log_weights)
    return log_sum_exp(log_weights, 0) - math.log(log_weights.shape[0])


def renyi_bound(log_weights: Tensor, alpha: float) -> Tensor:
    r"""The variational Rényi bound, per datapoint in nats.

    .. math:: \frac1{1-\alpha} \log \frac1K \sum_k w_k^{1-\alpha}

    (Li & Turner 2016, sections 3 and 4; its gradient weighs samples by the normalised
    :math:`w_k^{1-\alpha}`.) ``alpha=0`` is :func:`importance_weighted_bound`, 1 (the
    limit) the mean of the log-weights, that is the ELBO, -inf their maximum ("VR-max") and inf
    their minimum. Evaluated without cancellation as alpha approaches 1.

    Args:
        log_weights: log p(x, z) - log q(z | x) of K samples of each datapoint [K, ...]. Gets
            gradients.
        alpha: the order, any number. The bound does not increase with it.

    Returns:
        The bound, the shape ``log_weights.shape[1:]``; float32 for half precision.

    Raises:
        ValueError: there is no sample, or ``alpha`` is NaN.
        TypeError: ``log_weights`` is no floating-point tensor.
    """
    log_weights = _checked(log_weights)
    alpha = check_number("alpha", alpha)
    if math.isnan(alpha):
        raise ValueError(f"alpha: expected a number, got {alpha}")
    if math.isinf(alpha):
        return log_weights.amax(0) if alpha < 0 else log_weights.amin(0)
    if alpha == 1.0:
        return log_weights.mean(0)
    power = 1.0 - alpha
    scaled = power * log_weights
    top = scaled.detach().amax(0)
    top = torch.where(top.isfinite(), top, 0.0)
    return (top + _log_mean_exp(scaled - top)) / power


def _log_mean_exp(exponents: Tensor) -> Tensor:
    """log of the mean of e^s over the first dimension, where the largest s is 0: relative to its
    size even where all s are tiny."""
    excess = torch.expm1(exponents).mean(0)
    near = excess > -0.5
    close = torch.log1p(torch.where(near, excess, 0.0))
    return torch.where(near, close, torch.exp(exponents).mean(0).log())


def _checked(log_weights: Tensor) -> Tensor:
    check_float("log_weights", log_weights)
    if log_weights.dim() == 0 or shape_to_compare(log_weights)[0] == 0:
        raise ValueError(
            "log_weights: expected [K, ...] with at least one sample, "
            f"got {tuple(log_weights.shape)}"
        )
    check_numbers(log_weights=log_weights)
    return log_weights.to(accumulation_dtype((log_weights,)))
