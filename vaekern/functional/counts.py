"""The log-likelihoods of counts."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._checks import broadcastable, check_batch_dims, check_counts, check_float, check_like
from vaekern._ops import table
from vaekern._ops.call import Call, run

__all__ = [
    "negative_binomial_log_likelihood",
    "poisson_log_likelihood",
    "zero_inflated_negative_binomial_log_likelihood",
]


def poisson_log_likelihood(
    log_rate: Tensor, x: Tensor, *, mask: Tensor | None = None, batch_dims: int = 1
) -> Tensor:
    r"""Poisson log-likelihood log p(x | rate e^log_rate), per datapoint in nats.

    .. math:: \sum x l - e^l - \log x!

    with every constant, and without the cancellation of its large terms. (Poisson 1837; the form
    that is evaluated: Loader 2000.)

    Args:
        log_rate: logarithms of the rates, any shape. Gets gradients.
        x: counts, the shape of ``log_rate``, of any integer or floating-point dtype, not negative
            (not checked). The kernel reads uint8 as it is; other integers are converted first.
            Between whole numbers, x! is the gamma function of x + 1. Floating-point x gets
            gradients.
        mask: which elements count: bool, the shape of ``log_rate``, or with a 1 for each dimension
            it is shared over. The others give 0, and get no gradient, whatever they are.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        Log-likelihoods, the shape ``log_rate.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices differ.
        TypeError: a dtype is not supported.
    """
    found = table.POISSON.attempt(log_rate, x, mask, batch_dims)
    return run(poisson_call(log_rate, x, batch_dims).masked(mask)) if found is None else found


def negative_binomial_log_likelihood(
    log_mean: Tensor,
    x: Tensor,
    log_dispersion: Tensor | float,
    *,
    mask: Tensor | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""Negative binomial log-likelihood with mean μ = e^log_mean and inverse dispersion
    θ = e^log_dispersion, per datapoint in nats. The variance is μ + μ² / θ.

    .. math::

        \sum \log\frac{\Gamma(x + \theta)}{\Gamma(\theta)\, x!}
        + \theta \log\frac{\theta}{\theta + \mu} + x \log\frac{\mu}{\theta + \mu}

    (The parameters are those of Lopez et al. 2018.) For θ → ∞ it is Poisson's, to every digit.

    Args:
        log_mean: logarithms of the means, any shape. Gets gradients.
        x: counts, the shape of ``log_mean``: see :func:`poisson_log_likelihood`.
        log_dispersion: log θ, broadcasting as ``logvar`` does in :func:`gaussian_log_likelihood`:
            one number per gene or word is its event shape. Tensors get gradients.
        mask: which elements count: see :func:`poisson_log_likelihood`.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        Log-likelihoods, the shape ``log_mean.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices do not fit.
        TypeError: a dtype is not supported.
    """
    found = table.NEGATIVE_BINOMIAL.attempt(log_mean, log_dispersion, x, mask, batch_dims)
    if found is not None:
        return found
    return run(negative_binomial_call(log_mean, x, log_dispersion, batch_dims).masked(mask))


def zero_inflated_negative_binomial_log_likelihood(
    log_mean: Tensor,
    x: Tensor,
    log_dispersion: Tensor | float,
    zero_logits: Tensor | float,
    *,
    mask: Tensor | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""The same of counts that are 0 in a further share s = 1 / (1 + e^-zero_logits) of all cases,
    per datapoint in nats.

    .. math::

        \sum \begin{cases} \log(s + (1 - s)\, p_{NB}(0)) & x = 0 \\
        \log(1 - s) + \log p_{NB}(x) & x > 0 \end{cases}

    (Lopez et al. 2018, whose dropout logits these are.)

    Args:
        log_mean: logarithms of the means, any shape. Gets gradients.
        x: counts, the shape of ``log_mean``: see :func:`poisson_log_likelihood`. Its gradients are
            those of the case that applies.
        log_dispersion: log θ: see :func:`negative_binomial_log_likelihood`.
        zero_logits: logits of the share of additional zeros, broadcasting in the same way. Tensors
            get gradients.
        mask: which elements count: see :func:`poisson_log_likelihood`.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        Log-likelihoods, the shape ``log_mean.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices do not fit.
        TypeError: a dtype is not supported.
    """
    op = table.ZERO_INFLATED_NEGATIVE_BINOMIAL
    found = op.attempt(log_mean, log_dispersion, zero_logits, x, mask, batch_dims)
    if found is not None:
        return found
    call = zero_inflated_call(log_mean, x, log_dispersion, zero_logits, batch_dims)
    return run(call.masked(mask))


# --- checked calls ------------------------------------------------------------------------------


def poisson_call(log_rate: Tensor, x: Tensor, batch_dims: int) -> Call:
    x, _ = _checked("log_rate", log_rate, x, {}, batch_dims)
    return Call(table.POISSON, log_rate, x, batch_dims)


def negative_binomial_call(
    log_mean: Tensor, x: Tensor, log_dispersion: Tensor | float, batch_dims: int
) -> Call:
    given = {"log_dispersion": log_dispersion}
    x, parameters = _checked("log_mean", log_mean, x, given, batch_dims)
    return Call(table.NEGATIVE_BINOMIAL, log_mean, *parameters, x, batch_dims)


def zero_inflated_call(
    log_mean: Tensor,
    x: Tensor,
    log_dispersion: Tensor | float,
    zero_logits: Tensor | float,
    batch_dims: int,
) -> Call:
    given = {"log_dispersion": log_dispersion, "zero_logits": zero_logits}
    x, parameters = _checked("log_mean", log_mean, x, given, batch_dims)
    return Call(table.ZERO_INFLATED_NEGATIVE_BINOMIAL, log_mean, *parameters, x, batch_dims)


def _checked(
    name: str, mean: Tensor, x: Tensor, parameters: dict[str, Tensor | float], batch_dims: int
) -> tuple[Tensor, list[Tensor]]:
    """The counts as kernels take them, and the parameters as tensors."""
    check_float(name, mean)
    check_counts("x", x)
    check_like("x", x, name, mean)
    check_batch_dims(batch_dims, name, mean)
    dtype = accumulation_dtype((mean, x, *parameters.values()))
    if not x.is_floating_point() and x.dtype is not torch.uint8:
        x = x.to(dtype)
    return x, [
        broadcastable(key, value, name, mean, batch_dims, dtype, per_channel=True)
        for key, value in parameters.items()
    ]
