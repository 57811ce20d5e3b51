"""Log-weights of samples of the posterior, with the gradient estimator chosen where the samples are
drawn, and the objectives of a :class:`vaekern.VAE` made of them.

The gradient with respect to the model's parameters is that of log p(x, z) in all of them. Those
with respect to the posterior's parameters differ in their variance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vaekern._checks import check_float
from vaekern._modules.outputs import Condition, DecoderOutput, as_arguments
from vaekern._ops.call import Clamp
from vaekern._torch import shape_to_compare, transforms_active
from vaekern.likelihoods import Likelihood
from vaekern.likelihoods._base import log_prob_of
from vaekern.objectives._doubly_reparameterized import DoublyReparameterized
from vaekern.objectives.bounds import importance_weighted_bound
from vaekern.posteriors import DiagonalGaussian, Posterior
from vaekern.posteriors._linear import standard_log_prob
from vaekern.posteriors.base import AnyPrior, log_prior

_ESTIMATORS = ("iwae", "stl", "dreg")

LogJoint = Callable[[Tensor], Tensor]


class Model(Protocol):
    """What bounds need of a model. :class:`vaekern.VAE` is one."""

    decoder: nn.Module
    likelihood: Likelihood

    def infer(self, x: Tensor, condition: Condition = None) -> Posterior: ...

    def prior_given(self, condition: Condition = None) -> AnyPrior: ...


def log_weights(
    log_joint: LogJoint,
    mu: Tensor,
    logvar: Tensor,
    num_samples: int = 1,
    *,
    estimator: str = "iwae",
    chunk_size: int | None = None,
    eps: Tensor | None = None,
    seed: int | Tensor | None = None,
    generator: torch.Generator | None = None,
    scale: str = "logvar",
    logvar_clamp: Clamp | None = None,
    batch_dims: int = 1,
) -> Tensor:
    r"""Log-weights of K samples of each datapoint's posterior, in nats.

    .. math:: \log p(x, z_k) - \log q(z_k \mid x), \qquad z_k \sim q(z \mid x) = N(\mu, e^v)

    Their mean over samples is a Monte-Carlo ELBO, :func:`importance_weighted_bound` the bound of
    IWAE. The ``estimator`` is that of the gradient with respect to the posterior's parameters; the
    values are the same:

    - ``"iwae"``: the total derivative of :math:`\log w_k` (Burda et al. 2016, section 3; Kingma &
      Welling 2013, section 2.4).
    - ``"stl"``: through z alone, without the score of q, whose mean is 0 in the ELBO (Roeder et
      al. 2017, section 3): "sticking the landing", no variance where q is the true posterior. In
      bounds with K > 1 it is biased (Tucker et al. 2019).
    - ``"dreg"``: through z alone, each sample's part times its normalised weight once more, which
      is unbiased for :func:`importance_weighted_bound` (Tucker et al. 2019). For that bound
      only: its weights are taken from the gradient that arrives.

    Args:
        log_joint: maps z [k, *batch, *latent] to log p(x, z) [k, *batch], in nats.
        mu, logvar: the posterior's parameters [*batch, *latent], of one shape. Get gradients.
        num_samples: K.
        estimator: ``"iwae"``, ``"stl"`` or ``"dreg"``.
        chunk_size: how many samples ``log_joint`` gets at a time. Where gradients are wanted, it
            then runs once more in the backward pass, and one chunk's intermediates are all that is
            held. The samples are the same for any size.
        eps: noise to use, [K, *batch, *latent].
        seed, generator: the noise's source, as in :func:`vaekern.reparameterize`.
        scale: what ``logvar`` holds: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the log-variance.
        batch_dims: how many leading dimensions of ``mu`` index datapoints.

    Returns:
        The log-weights [K, *batch]; float32 for half precision, in which z is sampled and q
        evaluated in float32 too, while ``log_joint`` gets z in the dtype of ``mu``.

    Raises:
        ValueError: a number is below 1, the estimator is unknown, ``log_joint`` returns another
            shape, or an argument of :func:`vaekern.reparameterize` does not fit.
        TypeError: a dtype is not supported.
    """
    check_float("mu", mu)
    check_float("logvar", logvar)
    posterior = DiagonalGaussian(
        mu, logvar, scale=scale, logvar_clamp=logvar_clamp, batch_dims=batch_dims
    )
    return posterior_log_weights(
        log_joint,
        posterior,
        num_samples,
        estimator=estimator,
        chunk_size=chunk_size,
        eps=eps,
        seed=seed,
        generator=generator,
    )


def posterior_log_weights(
    log_joint: LogJoint,
    posterior: Posterior,
    num_samples: int = 1,
    *,
    estimator: str = "iwae",
    chunk_size: int | None = None,
    eps: Tensor | None = None,
    seed: int | Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """:func:`log_weights` of any posterior.

    Args:
        posterior: of [*batch, *latent].
        log_joint, num_samples, estimator, chunk_size, eps, seed, generator: as there, with noise
            of K times the shape that ``posterior.rsample`` takes.

    Returns:
        The log-weights [K, *batch].

    Raises:
        NotImplementedError: ``"stl"`` and ``"dreg"`` need a density without gradients to its
            parameters, which :class:`vaekern.posteriors.Transformed` does not have.
        ValueError: as there.
    """
    _check_at_least_one("num_samples", num_samples)
    _check_at_least_one("chunk_size", num_samples if chunk_size is None else chunk_size)
    if estimator not in _ESTIMATORS:
        raise ValueError(f"estimator: expected one of {_ESTIMATORS}, got {estimator!r}")
    samples = posterior.widen().expand(num_samples)
    nothing = None
    if estimator == "iwae":
        z, log_posterior = samples.sample_with_log_prob(eps, seed, generator)
    else:
        without_gradients = samples.detach()
        z = samples.rsample(eps, seed, generator)
        if estimator == "dreg":
            z, nothing = DoublyReparameterized.apply(z, samples.batch_dims, 0)
        log_posterior = without_gradients.log_prob(z)
    log_p = _in_chunks(log_joint, z.to(posterior.tensors[0].dtype), chunk_size)
    if shape_to_compare(log_p) != shape_to_compare(log_posterior):
        raise ValueError(
            f"log_joint: expected a result of shape {tuple(log_posterior.shape)}, "
            f"got {tuple(log_p.shape)}"
        )
    weights = log_p - log_posterior
    return weights if nothing is None else weights + nothing


def _in_chunks(log_joint: LogJoint, z: Tensor, chunk_size: int | None) -> Tensor:
    if chunk_size is None or chunk_size >= z.shape[0]:
        return log_joint(z)
    chunks = z.split(chunk_size)
    # torch.func has no checkpoints: what they would spare is held there.
    if not torch.is_grad_enabled() or transforms_active():
        return torch.cat([log_joint(chunk) for chunk in chunks])
    return torch.cat([checkpoint(log_joint, chunk, use_reentrant=False) for chunk in chunks])


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

    log_joint = log_joint_of(model, x, condition)
    return posterior_log_weights(log_joint, model.infer(x, condition), num_samples, **options)


def log_joint_of(model: Model, x: Tensor, condition: Condition = None) -> LogJoint:
    """log p(x | z) + log p(z) [k, B] of samples z [k, B, *latent]."""
    told, prior = as_arguments(condition), model.prior_given(condition)

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


def standard_normal_log_density(z: Tensor, *, batch_dims: int = 1) -> Tensor:
    """log N(z; 0, 1) per datapoint, in nats: the usual prior's part of ``log_joint``."""
    return standard_log_prob(z, batch_dims=batch_dims)


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
    options |= {"condition": condition, "estimator": estimator}
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
    options |= {"condition": condition, "estimator": "stl" if stick_the_landing else "iwae"}
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


def _check_at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name}: expected at least 1, got {value}")
