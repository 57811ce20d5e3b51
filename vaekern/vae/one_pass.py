"""The loss of a training step, whose gradients are made in the forward where that is safe."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling

from vaekern._backends.launch import is_plain
from vaekern._modules.outputs import DecoderOutput
from vaekern._ops import one_pass
from vaekern._ops.call import check_values, run
from vaekern._torch import forward_mode_active, transforms_active
from vaekern._validation import switch
from vaekern.elbo import constant_weight, quick_elbo, reduce_elbo
from vaekern.functional.gaussian import kl_call
from vaekern.likelihoods import Likelihood
from vaekern.likelihoods._base import log_prob_of
from vaekern.posteriors import DiagonalGaussian, Posterior
from vaekern.posteriors.base import AnyPrior


def is_open(posterior: Posterior, prior: AnyPrior) -> bool:
    """Whether this way is worth going: for the usual model, in training. It is right for any."""
    if prior is not None or type(posterior) is not DiagonalGaussian or posterior.batch_dims != 1:
        return False
    mu = posterior.mu
    if not (mu.requires_grad and torch.is_grad_enabled()) or mu.dtype is torch.float16:
        return False
    if is_dynamo_compiling():
        return True
    if transforms_active() or forward_mode_active():
        return False
    return is_plain((mu, posterior.logvar), profiled=True)


def terms(
    likelihood: Likelihood,
    posterior: Posterior,
    decoder_output: DecoderOutput,
    x: Tensor,
    beta: Tensor | float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The mean of beta * kl - log_likelihood over datapoints, log_likelihood and kl, each
    differentiable, to a standard normal prior. A backward from the loss takes the one pass."""
    assert isinstance(posterior, DiagonalGaussian)
    if posterior.logvar_clamp is None:
        of_kl = posterior.mu, posterior.logvar, None, 1, posterior.scale
        own = likelihood, decoder_output, x, of_kl, beta, "mean"
        quick: tuple[Tensor, Tensor, Tensor] | None = quick_elbo(*own, per_datapoint=True)
        if quick is not None:
            return quick
    of_posterior = posterior.scale, posterior.logvar_clamp, 1
    divergence = kl_call(posterior.mu, posterior.logvar, None, None, *of_posterior)
    fuses = isinstance(likelihood, Likelihood) and likelihood.fuses
    call = likelihood.call(decoder_output, x, 1) if fuses else None

    def reduce(log_likelihood: Tensor, kl: Tensor) -> Tensor:
        return reduce_elbo(log_likelihood, kl, beta, "mean")

    def with_loss(log_likelihood: Tensor, kl: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return reduce(log_likelihood, kl), log_likelihood, kl

    if call is None:
        return with_loss(log_prob_of(likelihood, decoder_output, x), run(divergence))
    n = len(call.inputs)

    def composed(*tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return with_loss(run(call.of(*tensors[:n])), run(divergence.of(*tensors[n:])))

    calls, kl_weight = (call, divergence), constant_weight(beta, posterior.mu.device)
    same_datapoints = posterior.mu.shape[0] == x.shape[0]
    if kl_weight is None or not same_datapoints or not one_pass.applies(calls):
        return composed(*call.inputs, *divergence.inputs)
    if switch.enabled:
        check_values(call)
        check_values(divergence)
    share = 1.0 / x.shape[0]
    loss, log_likelihood, kl = one_pass.loss_and_values(
        calls, (-share, share * kl_weight), reduce, composed
    )
    return loss, log_likelihood, kl
