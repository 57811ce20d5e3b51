"""The drop-in loss."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern import _one_pass, _plain
from vaekern._call import Call, Clamp, run
from vaekern._checks import check_device, check_target, number_or_scalar
from vaekern.functional import kl_call
from vaekern.likelihoods import DecoderOutput, Likelihood, likelihood_named
from vaekern.objectives.divergences import check_weights, floored_kl, with_batch_dims

_REDUCTIONS = ("mean", "sum", "none")


def elbo_loss(
    decoder_output: DecoderOutput,
    x: Tensor,
    mu: Tensor,
    logvar: Tensor,
    likelihood: str | Likelihood = "bernoulli",
    beta: Tensor | float = 1.0,
    reduction: str = "mean",
    *,
    scale: str = "logvar",
    logvar_clamp: Clamp | None = None,
    batch_dims: int = 1,
    free_bits: Tensor | float | None = None,
    free_bits_over: str = "dimension",
    capacity: Tensor | float | None = None,
    mask: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    r"""The negative evidence lower bound, in nats: the loss of a VAE.

    .. math:: -\log p(x \mid z) + \beta\, KL(N(\mu, e^v) \,\|\, N(0, 1))

    summed over event dimensions, averaged or summed over datapoints. (Kingma & Welling 2013,
    eq. 10; beta: Higgins et al. 2017, eq. 4.) No full-size intermediate is stored.

    Args:
        decoder_output: what the decoder made of z: logits for ``"bernoulli"``; the mean or a tuple
            (mean, logvar) for ``"gaussian"``, where logvar broadcasts as in
            :func:`gaussian_log_likelihood`. Gets gradients.
        x: data, the shape of the logits or mean (of classes: less the logits' last dimension); see
            the likelihood for its dtypes.
        mu, logvar: the posterior's parameters, of one shape, with as many datapoints as ``x``.
            Get gradients.
        likelihood: ``"bernoulli"``, ``"gaussian"`` (of unit variance unless the decoder emits
            one), ``"laplace"``, ``"categorical"``, ``"multinomial"``, or a module with
            ``log_prob(decoder_output, x, batch_dims=...)``.
        beta: weight of the KL divergence: a number, or a 0-d tensor (which gets gradients).
        reduction: over datapoints: ``"mean"``, ``"sum"``, or ``"none"`` for one loss each.
        scale: what ``logvar`` holds: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the posterior's log-variance.
        batch_dims: how many leading dimensions index datapoints.
        free_bits: a floor in nats, a number or a 0-d tensor, under the parts of the KL divergence
            that ``free_bits_over`` names: ``"dimension"``, ``"group"``, ``"sample"`` or
            ``"batch"``, see :func:`vaekern.objectives.free_bits_kl`.
        capacity: replaces each datapoint's KL by abs(KL - capacity), with a number or a 0-d tensor
            in nats. (Burgess et al. 2018.) Not together with ``free_bits``.
        mask: which elements of ``x`` count in the likelihood: a bool tensor of its shape, or with a
            1 for each dimension it is shared over. What lies elsewhere in ``x``, NaN for example,
            does not matter. A likelihood module's log-probability must be a sum over elements.
        weights: of the datapoints, the shape ``x.shape[:batch_dims]``, floating point. ``"mean"``
            then divides by their sum. Get gradients.

    Any of the last five options is computed in a few passes instead of one.

    Returns:
        The loss, a scalar (the shape ``x.shape[:batch_dims]`` for ``"none"``); float32 for half
        precision.

    Raises:
        ValueError: shapes, devices or datapoint counts differ, or a name is unknown.
        TypeError: a dtype is not supported.
    """
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction: expected one of {_REDUCTIONS}, got {reduction!r}")
    number_or_scalar("beta", beta)
    if free_bits is not None and capacity is not None:
        raise ValueError("free_bits and capacity: expected at most one of them")
    module = likelihood_named(likelihood)
    if mask is not None:
        x = _without_masked(x, mask)
    divergence = kl_call(mu, logvar, None, None, scale, logvar_clamp, batch_dims)
    call = module.call(decoder_output, x, batch_dims) if isinstance(module, Likelihood) else None
    if x.shape[:batch_dims] != mu.shape[:batch_dims]:
        raise ValueError(
            f"mu: expected the datapoints of x, {tuple(x.shape[:batch_dims])}, "
            f"got {tuple(mu.shape[:batch_dims])}"
        )
    if not (free_bits is None and capacity is None and mask is None and weights is None):
        check_weights(weights, "x", x, batch_dims)
        log_likelihood = _log_likelihood(module, call, decoder_output, x, mask, batch_dims)
        if free_bits is None:
            kl = run(divergence)
        else:
            kl = floored_kl(divergence, free_bits, free_bits_over, weights)
        if capacity is not None:
            kl = (kl - number_or_scalar("capacity", capacity)).abs()
        return _reduce_weighted(beta * kl - log_likelihood, weights, reduction)
    if call is None:
        log_likelihood = _log_likelihood(module, None, decoder_output, x, None, batch_dims)
        return reduce_elbo(log_likelihood, run(divergence), beta, reduction)
    return _fused(call, divergence, beta, reduction, mu.shape[:batch_dims].numel())


def reduce_elbo(log_likelihood: Tensor, kl: Tensor, beta: Tensor | float, reduction: str) -> Tensor:
    """beta * kl - log_likelihood, reduced over datapoints."""
    losses = beta * kl - log_likelihood
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def _without_masked(x: Tensor, mask: Tensor) -> Tensor:
    """x with zeros where the mask is not, so that no NaN is left to reach a gradient."""
    check_target("x", x)
    if not isinstance(mask, Tensor) or mask.dtype is not torch.bool:
        got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"mask: expected a bool tensor, got {got}")
    check_device("mask", mask, "x", x)
    fits = [own in (1, wanted) for own, wanted in zip(mask.shape, x.shape, strict=False)]
    if mask.dim() != x.dim() or not all(fits):
        raise ValueError(
            f"mask: expected the shape of x, {tuple(x.shape)}, or 1 for dimensions it is shared "
            f"over, got {tuple(mask.shape)}"
        )
    return x.masked_fill(~mask, 0)


def _log_likelihood(
    module: Likelihood,
    call: Call | None,
    decoder_output: DecoderOutput,
    x: Tensor,
    mask: Tensor | None,
    batch_dims: int,
) -> Tensor:
    """Per datapoint, summed over the elements in the mask."""
    dims = batch_dims if mask is None else x.dim()
    if call is None:
        elements = module.log_prob(decoder_output, x, batch_dims=dims)
    else:
        elements = run(with_batch_dims(call, dims))
    if mask is None:
        return elements
    if elements.shape != x.shape:
        raise ValueError(
            f"mask: expected a likelihood with one term for each of the {tuple(x.shape)} elements "
            f"of x, got {tuple(elements.shape)}"
        )
    return _plain.per_datapoint(elements.masked_fill(~mask, 0.0), batch_dims)


def _reduce_weighted(losses: Tensor, weights: Tensor | None, reduction: str) -> Tensor:
    if weights is not None:
        losses = losses * weights
    if reduction == "none":
        return losses
    total = losses.sum()
    if reduction == "sum":
        return total
    return total / (losses.numel() if weights is None else weights.sum())


def _fused(
    likelihood: Call, divergence: Call, beta: Tensor | float, reduction: str, datapoints: int
) -> Tensor:
    n = len(likelihood.op.inputs)
    attributes = likelihood.args[n:], divergence.args[2:]

    def reduce(log_likelihood: Tensor, kl: Tensor) -> Tensor:
        return reduce_elbo(log_likelihood, kl, beta, reduction)

    def composed(*tensors: Tensor) -> Tensor:
        log_likelihood = run(Call(likelihood.op, *tensors[:n], *attributes[0]))
        return reduce(log_likelihood, run(Call(divergence.op, *tensors[n:], *attributes[1])))

    kl_weight = _weight(beta, likelihood.args[0].device)
    calls = (likelihood, divergence)
    if reduction != "none" and kl_weight is not None and _one_pass.applies(calls):
        share = 1.0 / datapoints if reduction == "mean" else 1.0
        return _one_pass.loss(calls, (-share, share * kl_weight), reduce, composed)
    return composed(*likelihood.args[:n], *divergence.args[:2])


def _weight(beta: Tensor | float, device: torch.device) -> Tensor | float | None:
    """A constant weight: a number, or one in the memory of the device, for which nobody has to
    wait. None if it is no constant."""
    if not isinstance(beta, Tensor):
        return float(beta)
    if beta.requires_grad or torch.compiler.is_compiling():
        return None
    if beta.is_cpu:
        return beta.item()
    return beta if beta.device == device else None
