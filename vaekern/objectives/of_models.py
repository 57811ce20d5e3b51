"""Log-weights and bounds of a :class:`vaekern.VAE`."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vaekern._modules.outputs import Condition, DecoderOutput, as_arguments
from vaekern._torch import shape_to_compare
from vaekern.likelihoods import Likelihood
from vaekern.likelihoods._base import log_prob_of
from vaekern.objectives.bounds import importance_weighted_bound
from vaekern.objectives.estimators import LogJoint, posterior_log_weights
from vaekern.posteriors import Posterior
from vaekern.posteriors.base import AnyPrior, check_same_support, log_prior


class Model(Protocol):
    """What bounds need of a model. :class:`vaekern.VAE` is one."""

    decoder: nn.Module
    likelihood: Likelihood

    def infer(self, x: Tensor, condition: Condition = None) -> Posterior: ...

    def prior_given(self, condition: Condition = None) -> AnyPrior: ...


def model_log_weights(
    model: Model, x: Tensor, num_samples: int = 1, *, condition: Condition = None, **options: Any
) -> Tensor:
    r""":func:`log_weights` of a :class:`vaekern.VAE`: log p(x | z) + log p(z) - log q(z | x).

    The decoder gets the samples of all datapoints as one batch [K * B, *latent]; x is not repeated.

    Args:
        model: the model.
        x: data [B, ...].
        num_samples: K.
        condition: what the model is told beside x, see :class:`vaekern.VAE`.
        options: ``estimator``, ``chunk_size``, ``eps``, ``seed``, ``generator`` of
            :func:`log_weights`.

    Returns:
        The log-weights [K, B].
    """

    posterior = model.infer(x, condition)
    log_joint = log_joint_of(model, posterior, x, condition)
    return posterior_log_weights(log_joint, posterior, num_samples, **options)


def log_joint_of(
    model: Model, posterior: Posterior, x: Tensor, condition: Condition = None
) -> LogJoint:
    """log p(x | z) + log p(z) [k, B] of samples z [k, B, *latent] of the posterior."""
    told, prior = as_arguments(condition), model.prior_given(condition)
    check_same_support(posterior, prior)

    def log_joint(z: Tensor) -> Tensor:
        k = z.shape[0]
        repeated = [t.expand(k, *t.shape).flatten(0, 1) for t in told]
        decoder_output = _per_sample(model.decoder(z.flatten(0, 1), *repeated), k)
        log_likelihood = log_prob_of(
            model.likelihood, decoder_output, x.expand(k, *x.shape), batch_dims=2
        )
        of_samples = prior.expand(k) if isinstance(prior, Posterior) else prior
        return log_likelihood + log_prior(of_samples, z, batch_dims=2)

    return log_joint


def importance_weighted(
    model: Model,
    x: Tensor,
    num_samples: int,
    *,
    condition: Condition = None,
    estimator: str = "iwae",
    **options: Any,
) -> Tensor:
    r"""The importance-weighted bound of a :class:`vaekern.VAE`, per datapoint in nats.

    .. math:: \log \frac1K \sum_k p(x \mid z_k)\, p(z_k) / q(z_k \mid x), \qquad z_k \sim q

    (Burda et al. 2016, eq. 8.) The loss is minus its mean.

    Args:
        model: the model; its ``beta`` has no part in this bound.
        x: data [B, ...].
        num_samples: K.
        condition: what the model is told beside x, see :class:`vaekern.VAE`.
        estimator: of the encoder's gradient: ``"iwae"``, ``"stl"`` or ``"dreg"``, see
            :func:`log_weights`.
        options: ``chunk_size``, ``eps``, ``seed``, ``generator`` of :func:`log_weights`.

    Returns:
        The bound [B].
    """
    # (In place of |=, which dynamo of torch 2.6 does not trace.)
    options.update(condition=condition, estimator=estimator)
    weights = model_log_weights(model, x, num_samples, **options)
    return importance_weighted_bound(weights)


def monte_carlo_elbo(
    model: Model,
    x: Tensor,
    num_samples: int = 1,
    *,
    condition: Condition = None,
    stick_the_landing: bool = False,
    **options: Any,
) -> Tensor:
    r"""The ELBO of a :class:`vaekern.VAE` with a sampled KL divergence, per datapoint in nats.

    .. math:: \frac1K \sum_k \log p(x, z_k) - \log q(z_k \mid x), \qquad z_k \sim q

    (Kingma & Welling 2013, eq. 6.) :meth:`vaekern.VAE.elbo` takes the KL divergence in closed form
    instead, which has the same mean.

    Args:
        model: the model; its ``beta`` has no part in this bound.
        x: data [B, ...].
        num_samples: K.
        condition: what the model is told beside x, see :class:`vaekern.VAE`.
        stick_the_landing: leave the score of q out of the encoder's gradient (Roeder et al. 2017,
            section 3), which is still unbiased.
        options: ``chunk_size``, ``eps``, ``seed``, ``generator`` of :func:`log_weights`.

    Returns:
        The estimate [B].
    """
    options.update(condition=condition, estimator="stl" if stick_the_landing else "iwae")
    return model_log_weights(model, x, num_samples, **options).mean(0)


def _per_sample(decoder_output: DecoderOutput, k: int) -> Any:
    """Parameters of k * B datapoints as those of k samples of B datapoints. Smaller ones, which
    all datapoints share, stay as they are."""
    if isinstance(decoder_output, torch.Tensor):
        return decoder_output.unflatten(0, (k, -1))
    first = decoder_output[0]
    return tuple(_parameter_per_sample(part, first, k) for part in decoder_output)


def _parameter_per_sample(part: Any, first: Tensor, k: int) -> Any:
    if not isinstance(part, torch.Tensor) or part.dim() < first.dim():
        return part
    if shape_to_compare(part)[0] != shape_to_compare(first)[0]:
        return part.unsqueeze(0)
    return part.unflatten(0, (k, -1))
