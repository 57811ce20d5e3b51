"""Likelihoods of images of 256 levels: the discretized logistic distribution and its mixtures."""

from __future__ import annotations

from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import PLANES, per_datapoint
from vaekern._checks import (
    broadcastable,
    check_batch_dims,
    check_device,
    check_float,
    check_levels,
    check_like,
    check_mask,
)
from vaekern._ops import table
from vaekern._ops.call import Call, run
from vaekern._torch import shape_to_compare

__all__ = ["discretized_logistic_log_likelihood", "logistic_mixture_log_likelihood"]


def discretized_logistic_log_likelihood(
    loc: Tensor,
    x: Tensor,
    log_scale: Tensor | float,
    *,
    mask: Tensor | None = None,
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
        mask: which elements count, as in :func:`bernoulli_log_likelihood`.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        Log-likelihoods, the shape ``loc.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices do not fit, or ``x`` requires a gradient.
        TypeError: a dtype is not supported.
    """
    found = table.DISCRETIZED_LOGISTIC.attempt(loc, log_scale, x, mask, batch_dims)
    if found is not None:
        return found
    return run(discretized_logistic_call(loc, x, log_scale, batch_dims).masked(mask))


def logistic_mixture_log_likelihood(
    params: Tensor, x: Tensor, *, mask: Tensor | None = None, batch_dims: int = 1
) -> Tensor:
    r"""Log-likelihood of colour images of 256 levels under mixtures of discretized logistic
    distributions, one for each pixel, per datapoint in nats.

    .. math::

        \sum_{\text{pixels}} \log \sum_k \pi_k\, P(R \mid m_k, s_k)\, P(G \mid m_k(R), s_k)\,
        P(B \mid m_k(R, G), s_k)

    with the probabilities of :func:`discretized_logistic_log_likelihood`, weights
    :math:`\pi = \mathrm{softmax}` of the logits, and means of which those of green and blue follow
    the colours before them, :math:`m_G = \mu_G + \tanh(c_0) R`,
    :math:`m_B = \mu_B + \tanh(c_1) R + \tanh(c_2) G`. (Salimans et al. 2017, section 2.) Nothing of
    the size of all components is stored for the backward pass but ``params`` itself.

    Args:
        params: [*batch, 10 K, *pixels] for K components, any K, in the order of PixelCNN++: the
            logits of the weights; then for each of red, green and blue K means, K logarithms of
            the scales and K coefficients: c_0 with red, c_1 with green, c_2 with blue. Log-scales
            are clamped from below at -7, with gradients as those of ``torch.clamp``. Gets
            gradients.
        x: [*batch, 3, *pixels]: uint8 levels 0..255, or floating point, levels rescaled to
            2 level / 255 - 1 (not checked). Gets no gradient.
        mask: which pixels count: bool, the shape of one colour of ``x``, or with a 1 for each
            dimension it is shared over. The others give 0, and get no gradient, whatever they are.
            It takes further passes over ``params``.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        Log-likelihoods, the shape ``params.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices do not fit, or ``x`` requires a gradient.
        TypeError: a dtype is not supported.
    """
    if mask is None:
        found = table.LOGISTIC_MIXTURE.attempt(params, x, batch_dims)
        if found is not None:
            return found
    call = logistic_mixture_call(params, x, batch_dims)
    if mask is None:
        return run(call)
    pixels = x.select(batch_dims, 0)
    check_mask("mask", mask, "a colour of x", pixels)
    outside = ~mask.unsqueeze(batch_dims)
    params, x = (t.masked_fill(outside, 0).movedim(batch_dims, -1) for t in (params, x))
    by_pixel = run(logistic_mixture_call(params, x, pixels.dim()))
    return per_datapoint(by_pixel.masked_fill(~mask, 0.0), batch_dims)


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
    return Call(table.DISCRETIZED_LOGISTIC, loc, spread, x, batch_dims)


def logistic_mixture_call(params: Tensor, x: Tensor, batch_dims: int) -> Call:
    check_float("params", params)
    check_levels("x", x)
    check_device("x", x, "params", params)
    check_batch_dims(batch_dims, "params", params)
    shape = shape_to_compare(params)
    batch, event = shape[:batch_dims], shape[batch_dims:]
    if not event or event[0] == 0 or event[0] % PLANES != 0:
        raise ValueError(
            f"params: expected {PLANES} K channels for K components in the first event dimension, "
            f"got {tuple(event)}"
        )
    wanted = (*batch, 3, *event[1:])
    if shape_to_compare(x) != wanted:
        raise ValueError(
            f"x: expected three colours for each pixel of params, {wanted}, got {tuple(x.shape)}"
        )
    return Call(table.LOGISTIC_MIXTURE, params, x, batch_dims)
