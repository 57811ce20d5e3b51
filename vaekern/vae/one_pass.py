"""The loss of a training step, whose gradients are made in the forward where that is safe."""

from __future__ import annotations

from torch import Tensor

from vaekern._modules.outputs import DecoderOutput
from vaekern._ops import one_pass
from vaekern.elbo import loss_and_terms
from vaekern.likelihoods import Likelihood
from vaekern.posteriors import DiagonalGaussian, Posterior
from vaekern.posteriors.base import AnyPrior


def is_open(posterior: Posterior, prior: AnyPrior) -> bool:
    """Whether this way is: for the usual model, in training."""
    usual = prior is None and type(posterior) is DiagonalGaussian and posterior.batch_dims == 1
    return usual and one_pass.applies_to([posterior.tensors])


def terms(
    likelihood: Likelihood,
    posterior: Posterior,
    decoder_output: DecoderOutput,
    x: Tensor,
    beta: Tensor | float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, and log-likelihood and KL divergence of each datapoint."""
    assert isinstance(posterior, DiagonalGaussian)
    of_kl = posterior.mu, posterior.logvar, beta, posterior.scale, posterior.logvar_clamp
    return loss_and_terms(likelihood, decoder_output, x, *of_kl)
