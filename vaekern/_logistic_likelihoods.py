"""Likelihoods of images of 256 levels: the discretized logistic distribution and its mixtures."""

from __future__ import annotations

from torch import Tensor

from vaekern import _ops
from vaekern._call import Call, run
from vaekern._checks import (
    broadcastable,
    check_batch_dims,
    check_float,
    check_levels,
    check_like,
)
from vaekern._launch import accumulation_dtype

__all__ = ["discretized_logistic_log_likelihood"]


def discretized_logistic_log_likelihood(
    loc: Tensor,
    x: Tensor,
    log_scale: Tensor | float,
    *,
    batch_dims: int = 1,
) -> Tensor:
    r"""Log-likelihood of images of 256 levels under a discretized logistic distribution, per
    datapoint in nats.

    .. math::

        \sum \log\bigl(S((x + \tfrac1{255} - m) e^{-s}) - S((x - \tfrac1{255} - m) e^{-s})\bigr),
        \quad S(u) = \frac1{1 + e^{-u}}

    for levels rescaled to x = 2 level / 255 - 1; the lowest bin has no lower end, the highest no
    upper one. (Salimans et al. 2017; the bins without ends: eq. 2.) A probability, never positive,
    evaluated without cancellation however narrow or distant the distribution is.

    Args:
        loc: any shape. Gets gradients.
        x: targets, the shape of ``loc``: uint8 levels 0..255, or floating point, levels rescaled to
            [-1, 1] (not checked). Gets no gradient.
        log_scale: logarithms of the scale, broadcasting as ``logvar`` does in
            :func:`gaussian_log_likelihood`. Tensors get gradients.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        Log-likelihoods, the shape ``loc.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices do not fit, or ``x`` requires a gradient.
        TypeError: a dtype is not supported.
    """
    return run(discretized_logistic_call(loc, x, log_scale, batch_dims))


# --- checked calls ------------------------------------------------------------------------------


def discretized_logistic_call(
    loc: Tensor, x: Tensor, log_scale: Tensor | float, batch_dims: int
) -> Call:
    check_float("loc", loc)
    check_levels("x", x)
    check_like("x", x, "loc", loc)
    check_batch_dims(batch_dims, "loc", loc)
    dtype = accumulation_dtype((loc, x))
    spread = broadcastable("log_scale", log_scale, "loc", loc, batch_dims, dtype, per_channel=True)
    return Call(_ops.DISCRETIZED_LOGISTIC, loc, spread, x, batch_dims)
