"""KL divergences changed for training: with free bits, and balanced between posterior and prior."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._backends.plain import per_datapoint
from vaekern._checks import check_float, check_like, number_or_scalar
from vaekern._ops.call import Call, Clamp, run
from vaekern._ops.one_sided import one_sided
from vaekern._validation import checks, switch
from vaekern.functional.gaussian import kl_call
from vaekern.posteriors.base import AnyPrior, Posterior

_OVER = ("dimension", "group", "sample", "batch")


def free_bits_kl(
    mu: Tensor,
    logvar: Tensor,
    prior_mu: Tensor | float | None = None,
    prior_logvar: Tensor | float | None = None,
    *,
    free_bits: Tensor | float,
    over: str = "dimension",
    weights: Tensor | None = None,
    scale: str = "logvar",
    logvar_clamp: Clamp | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""A KL divergence with a floor under its parts, per datapoint in nats.

    .. math:: \frac1B \sum_i \text{result}_i = \sum_j \max(\lambda, \frac1B \sum_i KL_{ij})

    (Kingma et al. 2016, appendix C.8, "free bits".) A part below the floor counts as the floor and
    has no gradient. What is compared with it is chosen by ``over``:

    - ``"dimension"``: each latent dimension's mean over the batch, as in the formula.
    - ``"group"``: each channel's, that is, each index of the first latent dimension's, summed over
      the others.
    - ``"sample"``: each datapoint's whole divergence, without a mean.
    - ``"batch"``: the mean over the batch of the whole divergence ("free nats").

    Args:
        mu, logvar, prior_mu, prior_logvar: as in :func:`vaekern.gaussian_kl`. Get gradients.
        free_bits: the floor of one part, in nats: a number or a 0-d tensor.
        over: ``"dimension"``, ``"group"``, ``"sample"`` or ``"batch"``.
        weights: of the datapoints in the mean over the batch, the shape ``mu.shape[:batch_dims]``.
        scale: what ``logvar`` and ``prior_logvar`` hold: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the posterior's log-variance.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        One value per datapoint, the shape ``mu.shape[:batch_dims]``: those of parts above the floor
        and, in place of others, the floor. Their mean is the formula's right side.

    Raises:
        ValueError: ``over`` is unknown, or shapes or devices do not fit.
        TypeError: an argument is no floating-point tensor or number.
    """
    whole = kl_call(mu, logvar, prior_mu, prior_logvar, scale, logvar_clamp, batch_dims)
    check_weights(weights, "mu", mu, batch_dims)
    return floored_kl(whole, free_bits, over, weights)


def balanced_kl(
    mu: Tensor,
    logvar: Tensor,
    prior_mu: Tensor,
    prior_logvar: Tensor,
    *,
    alpha: float = 0.8,
    scale: str = "logvar",
    logvar_clamp: Clamp | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""A KL divergence whose gradient is shared out between prior and posterior, per datapoint in
    nats.

    .. math:: \alpha KL(\mathrm{sg}(q) \| p) + (1 - \alpha) KL(q \| \mathrm{sg}(p))

    with sg stopping gradients: the value is KL(q || p), the prior learns at rate alpha and the
    posterior at 1 - alpha. (Hafner et al. 2021, algorithm 2, DreamerV2.) DreamerV3's loss
    (Hafner et al. 2023, eq. 5), with weights d and r of its dynamics and representation terms and
    free nats f, is ``(d + r) * balanced_kl(..., alpha=d / (d + r)).clamp(min=f)``.

    Args:
        mu, logvar: the posterior's parameters. Get gradients.
        prior_mu, prior_logvar: the prior's, as in :func:`vaekern.gaussian_kl`. Get gradients.
        alpha: the prior's share of the gradient.
        scale: what ``logvar`` and ``prior_logvar`` hold: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the posterior's log-variance.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        KL, the shape ``mu.shape[:batch_dims]``; float32 for half precision.

    Raises:
        ValueError: shapes or devices do not fit, or ``alpha`` is not in [0, 1].
        TypeError: an argument is no floating-point tensor.
    """
    check_alpha(alpha)
    for name, tensor in (("prior_mu", prior_mu), ("prior_logvar", prior_logvar)):
        check_float(name, tensor)
    call = kl_call(mu, logvar, prior_mu, prior_logvar, scale, logvar_clamp, batch_dims)
    of_posterior, of_prior = one_sided(call, 2)
    return alpha * of_prior + (1.0 - alpha) * of_posterior


def check_alpha(alpha: float) -> None:
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha: expected 0 to 1, got {alpha}")


def floored_kl(whole: Call, free_bits: Tensor | float, over: str, weights: Tensor | None) -> Tensor:
    """:func:`free_bits_kl` of the divergence that ``whole`` would compute."""
    check_over(over)
    batch_dims, dims = whole.attributes[0], whole.dims
    part_dims = {"dimension": dims, "group": min(batch_dims + 1, dims)}
    kl = run(with_batch_dims(whole, part_dims.get(over, batch_dims)))
    return floored(kl, free_bits, over, weights, batch_dims)


def check_over(over: str) -> None:
    if over not in _OVER:
        raise ValueError(f"free_bits_over: expected one of {_OVER}, got {over!r}")


def floored(
    kl: Tensor, free_bits: Tensor | float, over: str, weights: Tensor | None, batch_dims: int
) -> Tensor:
    """Parts of a divergence [*batch, *parts], or those in whose place the floor is, summed."""
    floor = number_or_scalar("free_bits", free_bits)
    compared = kl if over == "sample" else _batch_mean(kl, weights, batch_dims)
    return per_datapoint(torch.where(compared < floor, floor, kl), batch_dims)


def regularised_kl(
    posterior: Posterior,
    prior: AnyPrior,
    kl: Tensor,
    free_bits: Tensor | float | None,
    over: str,
    capacity: Tensor | float | None,
    weights: Tensor | None,
) -> Tensor:
    """What a loss contains in the place of ``kl``, that of each datapoint of a model [B].

    Raises:
        ValueError: both or neither of free bits and capacity are given, ``over`` is unknown, or
            there is no divergence of each part.
    """
    check_one_of_them(free_bits, capacity)
    if capacity is not None:
        return (kl - number_or_scalar("capacity", capacity)).abs()
    assert free_bits is not None
    check_over(over)
    if over in ("sample", "batch"):
        return floored(kl, free_bits, over, weights, batch_dims=1)
    call = posterior.kl_call(prior)
    if call is None:
        to = "N(0, I)" if prior is None else type(prior).__name__
        raise ValueError(
            f"free_bits_over: expected 'sample' or 'batch' for KL({type(posterior).__name__} || "
            f"{to}), which is no sum over independent elements, got {over!r}"
        )
    return floored_kl(call, free_bits, over, weights)


def check_one_of_them(free_bits: object, capacity: object) -> None:
    if free_bits is not None and capacity is not None:
        raise ValueError("free_bits and capacity: expected at most one of them")


def with_batch_dims(call: Call, batch_dims: int) -> Call:
    """The same operation, summed over fewer or more dimensions."""
    return call.again(*call.inputs, batch_dims, *call.attributes[1:], mask=call.mask)


def check_weights(weights: Tensor | None, name: str, tensor: Tensor, batch_dims: int) -> None:
    """One floating-point weight per datapoint of ``tensor``, if there are any."""
    if weights is None:
        return
    check_float("weights", weights)
    datapoints = tensor.new_empty((), dtype=torch.float32).expand(tensor.shape[:batch_dims])
    check_like("weights", weights, f"the datapoints of {name}", datapoints)
    if switch.enabled:
        checks.check("weights", checks.Values({"weights": weights}))


def _batch_mean(kl: Tensor, weights: Tensor | None, batch_dims: int) -> Tensor:
    """Of each part [*parts]: the divergence is [*batch, *parts]."""
    parts = kl.reshape(kl.shape[:batch_dims].numel(), *kl.shape[batch_dims:])
    if weights is None:
        return parts.mean(0)
    weights = weights.reshape(-1, *(1,) * (parts.dim() - 1)).to(kl.dtype)
    return torch.where(weights == 0, 0.0, weights * parts).sum(0) / weights.sum()
