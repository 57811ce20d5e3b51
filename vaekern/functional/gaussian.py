"""Gaussians: samples, KL divergences and the likelihood."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._checks import (
    broadcastable,
    check_batch_dims,
    check_float,
    check_like,
    check_scale,
    check_target,
)
from vaekern._ops import table
from vaekern._ops.call import Call, Clamp, clamp_logvar, run
from vaekern.functional.noise import resolve_noise, unresolved
from vaekern.functional.targets import check_uint8_range

__all__ = [
    "gaussian_kl",
    "gaussian_log_likelihood",
    "reparameterize",
    "sample_with_kl",
]


def reparameterize(
    mu: Tensor,
    logvar: Tensor,
    eps: Tensor | None = None,
    seed: int | Tensor | None = None,
    generator: torch.Generator | None = None,
    *,
    scale: str = "logvar",
    logvar_clamp: Clamp | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""Samples z ~ N(mu, e^logvar) as a differentiable function of its parameters.

    .. math:: z = \mu + e^{v/2} \epsilon, \quad \epsilon \sim N(0, 1)

    (Kingma & Welling 2013, section 2.4.) The noise is generated inside the kernel, again in the
    backward pass, and never stored. It depends on the seed and on the element's index alone.

    Args:
        mu: means, any shape. Gets gradients.
        logvar: log-variances (see ``scale``), the shape of ``mu``. Gets gradients.
        eps: noise to use instead of generating it, the shape of ``mu``. Gets gradients.
        seed: an int, or an int64 tensor (seed) or (seed, stream) on the device of ``mu``. By
            default drawn from torch's generator of that device, so ``torch.manual_seed`` works.
        generator: where to draw the seed from. At most one of ``eps``, ``seed``, ``generator``.
        scale: what ``logvar`` holds: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the log-variance.
        batch_dims: accepted for uniformity; samples do not depend on it.

    Returns:
        z, the shape of ``mu``.

    Raises:
        ValueError: shapes or devices differ, or more than one source of noise is given.
        TypeError: an argument is no floating-point tensor.
    """
    if logvar_clamp is None:
        noise = unresolved(eps, seed, generator)
        found = table.REPARAMETERIZE.attempt(mu, logvar, noise, batch_dims, scale)
        if found is not None:
            return found
    logvar = _check_posterior(mu, logvar, scale, logvar_clamp, batch_dims)
    noise = resolve_noise("mu", mu, eps, seed, generator)
    return run(Call(table.REPARAMETERIZE, mu, logvar, noise, batch_dims, scale))


def gaussian_kl(
    mu: Tensor,
    logvar: Tensor,
    prior_mu: Tensor | float | None = None,
    prior_logvar: Tensor | float | None = None,
    *,
    scale: str = "logvar",
    logvar_clamp: Clamp | None = None,
    mask: Tensor | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""KL divergence of diagonal Gaussians, KL(N(mu, e^logvar) || prior), per datapoint in nats.

    To N(0, 1), with :math:`\varphi(v) = e^v - 1 - v` computed free of cancellation:

    .. math:: \tfrac12 \sum \mu^2 + \varphi(v)

    (Kingma & Welling 2013, appendix B), and to N(m, e^w):

    .. math:: \tfrac12 \sum \bigl((\mu - m) e^{-w/2}\bigr)^2 + \varphi(v - w)

    Args:
        mu, logvar: the posterior's parameters, of one shape. Get gradients.
        prior_mu, prior_logvar: the prior's, both in the same ``scale``. None is a standard
            normal's. A number, a scalar tensor, the shape of ``mu``, its event shape (shared by
            all datapoints, as learned priors are), or either with a 1 for each dimension it is
            shared over. Tensors get gradients.
        scale: what ``logvar`` and ``prior_logvar`` hold: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the posterior's log-variance.
        mask: which elements count: bool, the shape of ``mu``, or with a 1 for each dimension it
            is shared over. The others add exactly 0 to the value and to every gradient, whatever
            lies there. None: all count.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        KL, the shape ``mu.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices do not fit.
        TypeError: an argument is no floating-point tensor or number.
    """
    if logvar_clamp is None:
        if prior_mu is None and prior_logvar is None:
            found = table.STANDARD_KL.attempt(mu, logvar, mask, batch_dims, scale)
        else:
            prior = prior_mu, prior_logvar
            found = table.GAUSSIAN_KL.attempt(mu, logvar, *prior, mask, batch_dims, scale)
        if found is not None:
            return found
    call = kl_call(mu, logvar, prior_mu, prior_logvar, scale, logvar_clamp, batch_dims)
    return run(call.masked(mask))


def sample_with_kl(
    mu: Tensor,
    logvar: Tensor,
    prior_mu: Tensor | float | None = None,
    prior_logvar: Tensor | float | None = None,
    eps: Tensor | None = None,
    seed: int | Tensor | None = None,
    generator: torch.Generator | None = None,
    *,
    scale: str = "logvar",
    logvar_clamp: Clamp | None = None,
    batch_dims: int = 1,
) -> tuple[Tensor, Tensor]:
    """:func:`reparameterize` and :func:`gaussian_kl` in one pass over the parameters, and one
    pass back. The arguments are theirs, but for a mask: the sample has none.

    Returns:
        z, the shape of ``mu``, and the KL divergence, the shape ``mu.shape[:batch_dims]``.
    """
    if logvar_clamp is None:
        noise = unresolved(eps, seed, generator)
        if prior_mu is None and prior_logvar is None:
            found = table.SAMPLE_WITH_STANDARD_KL.attempt(mu, logvar, noise, batch_dims, scale)
        else:
            prior = prior_mu, prior_logvar
            op = table.SAMPLE_WITH_GAUSSIAN_KL
            found = op.attempt(mu, logvar, *prior, noise, batch_dims, scale)
        if found is not None:
            return found
    logvar = _check_posterior(mu, logvar, scale, logvar_clamp, batch_dims)
    noise = resolve_noise("mu", mu, eps, seed, generator)
    if prior_mu is None and prior_logvar is None:
        return run(Call(table.SAMPLE_WITH_STANDARD_KL, mu, logvar, noise, batch_dims, scale))
    prior = _check_prior(mu, logvar, prior_mu, prior_logvar, scale, batch_dims)
    return run(Call(table.SAMPLE_WITH_GAUSSIAN_KL, mu, logvar, *prior, noise, batch_dims, scale))


def gaussian_log_likelihood(
    mean: Tensor,
    x: Tensor,
    logvar: Tensor | float = 0.0,
    *,
    scale: str = "logvar",
    logvar_clamp: Clamp | None = None,
    uint8_range: str = "unit",
    mask: Tensor | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""Gaussian log-likelihood log N(x; mean, e^logvar), per datapoint in nats.

    .. math:: -\tfrac12 \sum \bigl((x - m) e^{-v/2}\bigr)^2 + v + \log 2\pi

    (Kingma & Welling 2013, appendix C.2.)

    Args:
        mean: any shape. Gets gradients.
        x: targets, the shape of ``mean``: floating point, or uint8 intensities 0..255 (see
            ``uint8_range``), or bool. Floating-point x gets gradients.
        logvar: log-variances (see ``scale``): a number, a scalar tensor (learned, shared by all),
            a vector with one number per channel (the first event dimension), the shape of
            ``mean``, its event shape, or either with a 1 for each dimension it is shared over.
            Tensors get gradients.
        scale: what ``logvar`` holds: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the log-variance.
        uint8_range: how the kernel reads a uint8 x: ``"unit"`` as x / 255, in [0, 1],
            ``"signed"`` as 2 x / 255 - 1, in [-1, 1], or ``"binary"``, 0 and 1, as it is. Other
            dtypes are taken as they are.
        mask: which elements count: bool, the shape of ``mean``, or with a 1 for each dimension it
            is shared over. The others add exactly 0 to the value and to every gradient, whatever
            lies there. None: all count.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        Log-likelihoods, the shape ``mean.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices do not fit.
        TypeError: a dtype is not supported.
    """
    if logvar_clamp is None:
        found = table.GAUSSIAN.attempt(mean, logvar, x, mask, batch_dims, scale, uint8_range)
        if found is not None:
            return found
    call = gaussian_call(mean, x, logvar, scale, logvar_clamp, batch_dims, uint8_range)
    return run(call.masked(mask))


# --- checked calls: an operation with the arguments that its kernel takes -------------------------


def kl_call(
    mu: Tensor,
    logvar: Tensor,
    prior_mu: Tensor | float | None,
    prior_logvar: Tensor | float | None,
    scale: str,
    logvar_clamp: Clamp | None,
    batch_dims: int,
) -> Call:
    logvar = _check_posterior(mu, logvar, scale, logvar_clamp, batch_dims)
    if prior_mu is None and prior_logvar is None:
        return Call(table.STANDARD_KL, mu, logvar, batch_dims, scale)
    prior = _check_prior(mu, logvar, prior_mu, prior_logvar, scale, batch_dims)
    return Call(table.GAUSSIAN_KL, mu, logvar, *prior, batch_dims, scale)


def gaussian_call(
    mean: Tensor,
    x: Tensor,
    logvar: Tensor | float,
    scale: str,
    logvar_clamp: Clamp | None,
    batch_dims: int,
    uint8_range: str = "unit",
) -> Call:
    check_float("mean", mean)
    check_target("x", x)
    check_uint8_range(uint8_range, x)
    check_like("x", x, "mean", mean)
    check_batch_dims(batch_dims, "mean", mean)
    check_scale(scale)
    dtype = accumulation_dtype((mean, x))
    spread = broadcastable("logvar", logvar, "mean", mean, batch_dims, dtype, per_channel=True)
    spread = clamp_logvar(spread, scale, logvar_clamp)
    return Call(table.GAUSSIAN, mean, spread, x, batch_dims, scale, uint8_range)


def _check_posterior(
    mu: Tensor, logvar: Tensor, scale: str, clamp: Clamp | None, batch_dims: int
) -> Tensor:
    check_float("mu", mu)
    check_float("logvar", logvar)
    check_like("logvar", logvar, "mu", mu)
    check_batch_dims(batch_dims, "mu", mu)
    check_scale(scale)
    return clamp_logvar(logvar, scale, clamp)


def _check_prior(
    mu: Tensor,
    logvar: Tensor,
    prior_mu: Tensor | float | None,
    prior_logvar: Tensor | float | None,
    scale: str,
    batch_dims: int,
) -> tuple[Tensor, Tensor]:
    unit = 1.0 if scale == "std" else 0.0
    prior_mu = 0.0 if prior_mu is None else prior_mu
    prior_logvar = unit if prior_logvar is None else prior_logvar
    dtype = accumulation_dtype((mu, logvar, prior_mu, prior_logvar))
    return (
        broadcastable("prior_mu", prior_mu, "mu", mu, batch_dims, dtype),
        broadcastable("prior_logvar", prior_logvar, "mu", mu, batch_dims, dtype),
    )
