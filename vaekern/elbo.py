"""The drop-in loss."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern import _one_pass
from vaekern._checks import number_or_scalar
from vaekern.functional import Call, Clamp, kl_call, run
from vaekern.likelihoods import DecoderOutput, Likelihood, likelihood_named

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
) -> Tensor:
    r"""The negative evidence lower bound, in nats: the loss of a VAE.

    .. math:: -\log p(x \mid z) + \beta\, KL(N(\mu, e^v) \,\|\, N(0, 1))

    summed over event dimensions, averaged or summed over datapoints. (Kingma & Welling 2013,
    eq. 10; beta: Higgins et al. 2017, eq. 4.) No full-size intermediate is stored.

    Args:
        decoder_output: what the decoder made of z: logits for ``"bernoulli"``; the mean or a tuple
            (mean, logvar) for ``"gaussian"``, where logvar broadcasts as in
            :func:`gaussian_log_likelihood`. Gets gradients.
        x: data, the shape of the logits or mean; see the likelihood for its dtypes.
        mu, logvar: the posterior's parameters, of one shape, with as many datapoints as ``x``.
            Get gradients.
        likelihood: ``"bernoulli"``, ``"gaussian"`` (of unit variance unless the decoder emits
            one), or a module with ``log_prob(decoder_output, x, batch_dims=...)``.
        beta: weight of the KL divergence: a number, or a 0-d tensor (which gets gradients).
        reduction: over datapoints: ``"mean"``, ``"sum"``, or ``"none"`` for one loss each.
        scale: what ``logvar`` holds: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the posterior's log-variance.
        batch_dims: how many leading dimensions index datapoints.

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
    module = likelihood_named(likelihood)
    divergence = kl_call(mu, logvar, None, None, scale, logvar_clamp, batch_dims)
    call = module.call(decoder_output, x, batch_dims) if isinstance(module, Likelihood) else None
    if x.shape[:batch_dims] != mu.shape[:batch_dims]:
        raise ValueError(
            f"mu: expected the datapoints of x, {tuple(x.shape[:batch_dims])}, "
            f"got {tuple(mu.shape[:batch_dims])}"
        )
    if call is None:
        log_likelihood = module.log_prob(decoder_output, x, batch_dims=batch_dims)
        return reduce_elbo(log_likelihood, run(divergence), beta, reduction)
    return _fused(call, divergence, beta, reduction, mu.shape[:batch_dims].numel())


def reduce_elbo(log_likelihood: Tensor, kl: Tensor, beta: Tensor | float, reduction: str) -> Tensor:
    """beta * kl - log_likelihood, reduced over datapoints."""
    losses = beta * kl - log_likelihood
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


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
