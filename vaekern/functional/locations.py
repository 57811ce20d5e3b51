"""The log-likelihoods with a location and a scale, but for the Gaussian."""

from __future__ import annotations

from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._checks import (
    broadcastable,
    check_batch_dims,
    check_float,
    check_like,
    check_share,
    check_target,
)
from vaekern._ops import table
from vaekern._ops.call import Call, run
from vaekern.functional.targets import check_uint8_range

__all__ = [
    "asymmetric_laplace_log_likelihood",
    "laplace_log_likelihood",
    "student_t_log_likelihood",
]


def laplace_log_likelihood(
    loc: Tensor,
    x: Tensor,
    log_scale: Tensor | float = 0.0,
    *,
    uint8_range: str = "unit",
    mask: Tensor | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""Laplace log-likelihood log p(x | loc, e^log_scale), per datapoint in nats.

    .. math:: -\sum |x - m| e^{-s} + s + \log 2

    Args:
        loc: any shape. Gets gradients; the one at x = loc is 0, as that of ``torch.abs``.
        x: targets, the shape of ``loc``: see :func:`gaussian_log_likelihood`.
        log_scale: logarithms of the scale, broadcasting as ``logvar`` does there.
        uint8_range: how a uint8 ``x`` is read, as there.
        mask: which elements count, as there.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        Log-likelihoods, the shape ``loc.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices do not fit.
        TypeError: a dtype is not supported.
    """
    found = table.LAPLACE.attempt(loc, log_scale, x, mask, batch_dims, uint8_range)
    if found is not None:
        return found
    return run(laplace_call(loc, x, log_scale, batch_dims, uint8_range).masked(mask))


def asymmetric_laplace_log_likelihood(
    loc: Tensor,
    x: Tensor,
    log_scale: Tensor | float = 0.0,
    quantile: float = 0.5,
    *,
    uint8_range: str = "unit",
    mask: Tensor | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""Asymmetric Laplace log-likelihood, per datapoint in nats: the likelihood of quantile
    regression, whose maximum over ``loc`` is a ``quantile`` of the data.

    .. math::

        \sum \log(\tau (1 - \tau)) - s - \rho_\tau\bigl((x - m) e^{-s}\bigr),
        \quad \rho_\tau(u) = u\, (\tau - [u < 0])

    (Koenker & Machado 1999, eq. 5; Yu & Moyeed 2001.) At :math:`\tau = \tfrac12` it is
    :func:`laplace_log_likelihood` of twice the scale.

    Args:
        loc: the quantiles, any shape. Gets gradients; the one at x = loc is 0, as there.
        x: targets, the shape of ``loc``: see :func:`gaussian_log_likelihood`.
        log_scale: logarithms of the scale, broadcasting as ``logvar`` does there.
        quantile: :math:`\tau`, a number between 0 and 1. Gets no gradient.
        uint8_range: how a uint8 ``x`` is read, as there.
        mask: which elements count, as there.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        Log-likelihoods, the shape ``loc.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices do not fit, or ``quantile`` is not between 0 and 1.
        TypeError: a dtype is not supported, or ``quantile`` is no number.
    """
    op = table.ASYMMETRIC_LAPLACE
    found = op.attempt(loc, log_scale, x, mask, batch_dims, quantile, uint8_range)
    if found is not None:
        return found
    call = asymmetric_laplace_call(loc, x, log_scale, quantile, batch_dims, uint8_range)
    return run(call.masked(mask))


def student_t_log_likelihood(
    loc: Tensor,
    x: Tensor,
    log_scale: Tensor | float,
    df: Tensor | float,
    *,
    uint8_range: str = "unit",
    mask: Tensor | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""Log-likelihood of Student's t with ``df`` degrees of freedom, per datapoint in nats.

    .. math::

        \sum \log\frac{\Gamma(\frac{\nu + 1}2)}{\Gamma(\frac\nu 2) \sqrt{\pi \nu}} - s
        - \frac{\nu + 1}2 \log\bigl(1 + \tfrac1\nu ((x - m) e^{-s})^2\bigr)

    (Student 1908.) From one degree of freedom (Cauchy) to infinitely many (Gaussian), and below,
    without cancellation.

    Args:
        loc: any shape. Gets gradients.
        x: targets, the shape of ``loc``: see :func:`gaussian_log_likelihood`.
        log_scale: logarithms of the scale, broadcasting as ``logvar`` does there.
        df: degrees of freedom, positive (not checked), broadcasting in the same way. Tensors get
            gradients.
        uint8_range: how a uint8 ``x`` is read, as there.
        mask: which elements count, as there.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        Log-likelihoods, the shape ``loc.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices do not fit.
        TypeError: a dtype is not supported.
    """
    found = table.STUDENT_T.attempt(loc, log_scale, df, x, mask, batch_dims, uint8_range)
    if found is not None:
        return found
    return run(student_t_call(loc, x, log_scale, df, batch_dims, uint8_range).masked(mask))


# --- checked calls ------------------------------------------------------------------------------


def laplace_call(
    loc: Tensor,
    x: Tensor,
    log_scale: Tensor | float,
    batch_dims: int,
    uint8_range: str = "unit",
) -> Call:
    (log_scale,) = _check_located(loc, x, {"log_scale": log_scale}, batch_dims, uint8_range)
    return Call(table.LAPLACE, loc, log_scale, x, batch_dims, uint8_range)


def asymmetric_laplace_call(
    loc: Tensor,
    x: Tensor,
    log_scale: Tensor | float,
    quantile: float,
    batch_dims: int,
    uint8_range: str = "unit",
) -> Call:
    (log_scale,) = _check_located(loc, x, {"log_scale": log_scale}, batch_dims, uint8_range)
    check_share("quantile", quantile)
    op = table.ASYMMETRIC_LAPLACE
    return Call(op, loc, log_scale, x, batch_dims, float(quantile), uint8_range)


def student_t_call(
    loc: Tensor,
    x: Tensor,
    log_scale: Tensor | float,
    df: Tensor | float,
    batch_dims: int,
    uint8_range: str = "unit",
) -> Call:
    parameters = {"log_scale": log_scale, "df": df}
    log_scale, df = _check_located(loc, x, parameters, batch_dims, uint8_range)
    return Call(table.STUDENT_T, loc, log_scale, df, x, batch_dims, uint8_range)


def _check_located(
    loc: Tensor,
    x: Tensor,
    parameters: dict[str, Tensor | float],
    batch_dims: int,
    uint8_range: str,
) -> list[Tensor]:
    """The parameters as tensors."""
    check_float("loc", loc)
    check_target("x", x)
    check_uint8_range(uint8_range, x)
    check_like("x", x, "loc", loc)
    check_batch_dims(batch_dims, "loc", loc)
    dtype = accumulation_dtype((loc, x, *parameters.values()))
    return [
        broadcastable(name, value, "loc", loc, batch_dims, dtype, per_channel=True)
        for name, value in parameters.items()
    ]
