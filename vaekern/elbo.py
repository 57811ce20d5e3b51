"""The drop-in loss."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling

from vaekern._backends.launch import is_plain
from vaekern._checks import number_or_scalar
from vaekern._ops import one_pass, table
from vaekern._ops.call import Call, Clamp, check_values, run
from vaekern._ops.quick_loss import quick_loss
from vaekern._torch import forward_mode_active, shape_to_compare
from vaekern._validation import switch
from vaekern.functional.gaussian import kl_call
from vaekern.likelihoods import DecoderOutput, Likelihood, shared_likelihood
from vaekern.likelihoods._base import log_prob_of
from vaekern.objectives.divergences import check_one_of_them, check_weights, floored_kl

__all__ = ["elbo_loss"]

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
            (mean, logvar) for ``"gaussian"``, where logvar (see ``scale``) broadcasts as in
            :func:`gaussian_log_likelihood`; for others see the modules. Gets gradients.
        x: data, the shape of the logits or mean (of classes: less the logits' last dimension); see
            the likelihood for its dtypes.
        mu, logvar: the posterior's parameters, of one shape, with as many datapoints as ``x``.
            Get gradients.
        likelihood: ``"bernoulli"``, ``"bernoulli_probs"``, ``"continuous_bernoulli"``,
            ``"gaussian"`` (of unit variance unless the decoder emits one), ``"optimal_gaussian"``,
            ``"laplace"``, ``"asymmetric_laplace"``, ``"student_t"``, ``"discretized_logistic"``,
            ``"logistic_mixture"``, ``"categorical"``, ``"multinomial"``, ``"poisson"``,
            ``"negative_binomial"``, ``"zero_inflated_negative_binomial"``, or a module with
            ``log_prob(decoder_output, x, batch_dims=...)``.
        beta: weight of the KL divergence: a number, or a 0-d tensor (which gets gradients).
        reduction: over datapoints: ``"mean"``, ``"sum"``, or ``"none"`` for one loss each.
        scale: what ``logvar`` holds, and the deviation that a decoder emits for ``"gaussian"``:
            ``"logvar"``, ``"log_std"`` or ``"std"``. A likelihood that is a module has its own.
        logvar_clamp: bounds for the posterior's log-variance.
        batch_dims: how many leading dimensions index datapoints.
        free_bits, free_bits_over: a floor in nats, a number or a 0-d tensor, under the parts of the
            KL divergence that the second names: ``"dimension"``, ``"group"``, ``"sample"`` or
            ``"batch"``, see :func:`vaekern.objectives.free_bits_kl`.
        capacity: replaces each datapoint's KL by abs(KL - capacity), with a number or a 0-d tensor
            in nats. (Burgess et al. 2018.) Not together with ``free_bits``.
        mask: which elements of ``x`` count in the likelihood: a bool tensor of its shape (of counts
            of classes: less the last dimension, of a mixture over images: less the colours), or
            with a 1 for each dimension it is shared over. What lies elsewhere, NaN for example,
            does not matter. The log-probability of a module of one's own must be a sum over
            elements, unless it overrides :meth:`Likelihood.masked_log_prob`.
        weights: of the datapoints, the shape ``x.shape[:batch_dims]``, floating point. ``"mean"``
            then divides by their sum. Datapoints of weight 0 are as if absent, whatever lies there.
            Get gradients: a weight of 0 that does has its datapoint's loss for one, and leaves
            nothing out.

    The loss and its gradients take one pass over the data, with a mask and weights too, unless
    weights want a gradient; free bits and capacity take a few.

    Returns:
        The loss, a scalar (the shape ``x.shape[:batch_dims]`` for ``"none"``); float32 for half
        precision.

    Raises:
        ValueError: shapes, devices or datapoint counts differ, or a name is unknown.
        TypeError: a dtype is not supported, or the decoder emits something else.
    """
    plain = logvar_clamp is None and free_bits is None and capacity is None and weights is None
    if plain:
        of_kl = mu, logvar, None, batch_dims, scale
        quick = quick_elbo(likelihood, decoder_output, x, of_kl, beta, reduction, mask)
        if quick is not None:
            return quick
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction: expected one of {_REDUCTIONS}, got {reduction!r}")
    number_or_scalar("beta", beta)
    check_one_of_them(free_bits, capacity)
    module = shared_likelihood(likelihood, scale)
    divergence = kl_call(mu, logvar, None, None, scale, logvar_clamp, batch_dims)
    present = _present(weights, x, batch_dims)
    call = (
        module.call_of(decoder_output, x, batch_dims, mask, present)
        if isinstance(module, Likelihood)
        else None
    )
    if shape_to_compare(x)[:batch_dims] != shape_to_compare(mu)[:batch_dims]:
        raise ValueError(
            f"mu: expected the datapoints of x, {tuple(x.shape[:batch_dims])}, "
            f"got {tuple(mu.shape[:batch_dims])}"
        )
    if weights is not None:
        check_weights(weights, "x", x, batch_dims)
        weights = weights.to(torch.promote_types(weights.dtype, torch.float32))
    divergence = divergence.of_datapoints(present)
    if call is not None:
        if free_bits is None and capacity is None:
            return _fused(call, divergence, beta, weights, reduction)
        log_likelihood = run(call)
    else:
        if present is not None:
            decoder_output, x = _without(~present, decoder_output), _without(~present, x)
        log_likelihood = log_prob_of(module, decoder_output, x, mask=mask, batch_dims=batch_dims)
        if present is not None:
            log_likelihood = log_likelihood.masked_fill(~present, 0.0)
    if free_bits is None:
        kl = run(divergence)
    else:
        kl = floored_kl(divergence, free_bits, free_bits_over, weights)
    if capacity is not None:
        kl = (kl - number_or_scalar("capacity", capacity)).abs()
    return reduce_elbo(log_likelihood, kl, beta, reduction, weights)


def quick_elbo(
    likelihood: str | Likelihood,
    decoder_output: DecoderOutput,
    x: Tensor,
    of_kl: tuple[Any, ...],
    beta: Tensor | float,
    reduction: str,
    mask: Tensor | None = None,
    *,
    per_datapoint: bool = False,
) -> Any:
    """By the fast path: the loss and, if ``per_datapoint``, both terms of each datapoint. ``of_kl``
    are the arguments of the divergence to N(0, 1). None where anything is irregular."""
    if switch.enabled:
        return None
    if reduction not in ("mean", "sum") or type(beta) not in (float, int) or beta != beta:
        return None
    module = shared_likelihood(likelihood, of_kl[4])
    own = isinstance(module, Likelihood)
    unchecked = module.unchecked(decoder_output, x, of_kl[3], mask) if own else None
    if unchecked is None:
        return None
    op, arguments = unchecked
    if not is_dynamo_compiling():
        loss = quick_loss(op, table.STANDARD_KL, reduce_elbo)
        found = loss.attempt(arguments, of_kl, beta, reduction == "mean", per_datapoint)
        if found is not None or torch.is_grad_enabled():
            return found
    log_likelihood, kl = op.attempt(*arguments), table.STANDARD_KL.attempt(*of_kl)
    if log_likelihood is None or kl is None or log_likelihood.shape != kl.shape:
        return None
    total = reduce_elbo(log_likelihood, kl, beta, reduction)
    return (total, log_likelihood, kl) if per_datapoint else total


def reduce_elbo(
    log_likelihood: Tensor,
    kl: Tensor,
    beta: Tensor | float,
    reduction: str,
    weights: Tensor | None = None,
) -> Tensor:
    """beta * kl - log_likelihood, weighted and reduced over datapoints."""
    losses = beta * kl - log_likelihood
    if weights is not None:
        losses = losses * weights
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    return losses.mean() if weights is None else losses.sum() / weights.sum()


def _present(weights: Tensor | None, x: Tensor, batch_dims: int) -> Tensor | None:
    """Which datapoints have a weight, where not all have one. A weight that wants a gradient may
    not stay 0: its gradient is that datapoint's loss."""
    if weights is None or not isinstance(x, Tensor):
        return None
    check_weights(weights, "x", x, batch_dims)
    if weights.requires_grad or forward_mode_active():
        return None
    return weights != 0


def _without(absent: Tensor, given: Any) -> Any:
    """What belongs to absent datapoints is replaced: it reaches no gradient."""
    if type(given) is tuple:
        return tuple([_without(absent, t) for t in given])
    dims = absent.dim()
    if not isinstance(given, Tensor):
        return given
    if shape_to_compare(given)[:dims] != shape_to_compare(absent):
        return given
    return given.masked_fill(absent.reshape(*absent.shape, *(1,) * (given.dim() - dims)), 0)


def _fused(
    likelihood: Call,
    divergence: Call,
    beta: Tensor | float,
    weights: Tensor | None,
    reduction: str,
) -> Tensor:
    n = len(likelihood.inputs)
    if switch.enabled:
        check_values(likelihood)
        check_values(divergence)

    def reduce(log_likelihood: Tensor, kl: Tensor) -> Tensor:
        return reduce_elbo(log_likelihood, kl, beta, reduction, weights)

    def composed(*tensors: Tensor) -> Tensor:
        return reduce(run(likelihood.of(*tensors[:n])), run(divergence.of(*tensors[n:])))

    calls = likelihood, divergence
    if reduction != "none" and one_pass.is_regular(calls):
        mu, batch_dims = divergence.inputs[0], divergence.attributes[0]
        share = _share(weights, reduction, mu.shape[:batch_dims].numel())
        kl_weight = constant_weight(beta, mu.device)
        if share is not None and kl_weight is not None:
            found = one_pass.loss(calls, (-share, share * kl_weight), reduce, composed)
            if found is not None:
                return found
    return composed(*likelihood.inputs, *divergence.inputs)


def _share(weights: Tensor | None, reduction: str, datapoints: int) -> Tensor | float | None:
    """What a datapoint's loss is multiplied with: a number, or one for each. None if it is no
    constant."""
    if weights is None:
        return 1.0 / datapoints if reduction == "mean" else 1.0
    if weights.requires_grad or not is_plain((weights,), profiled=True):
        return None
    return weights / weights.sum() if reduction == "mean" else weights


def constant_weight(beta: Tensor | float, device: torch.device) -> Tensor | float | None:
    """A constant weight: a number, or one in the memory of the device, for which nobody has to
    wait. None if it is no constant."""
    if not isinstance(beta, Tensor):
        return float(beta)
    if beta.requires_grad:
        return None
    if beta.is_cpu:
        return beta.item()
    return beta if beta.device == device else None
