"""Log-weights of samples of the posterior, with the gradient estimator chosen where the samples are
drawn.

The gradient with respect to the model's parameters is that of log p(x, z) in all of them. Those
with respect to the posterior's parameters differ in their variance.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vaekern._checks import check_count, check_float
from vaekern._ops.call import Clamp
from vaekern._torch import shape_to_compare, transforms_active
from vaekern.objectives._doubly_reparameterized import DoublyReparameterized
from vaekern.posteriors import DiagonalGaussian, Posterior
from vaekern.posteriors._linear import standard_log_prob

_ESTIMATORS = ("iwae", "stl", "dreg")

LogJoint = Callable[[Tensor], Tensor]


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
            parameters, which :class:`vaekern.posteriors.Transformed` does not have, and samples
            that are differentiable in truth, which one-hot vectors are not.
        ValueError: as there.
    """
    num_samples = check_count("num_samples", num_samples)
    chunk_size = None if chunk_size is None else check_count("chunk_size", chunk_size)
    if estimator not in _ESTIMATORS:
        raise ValueError(f"estimator: expected one of {_ESTIMATORS}, got {estimator!r}")
    if estimator != "iwae" and not posterior.reparameterized:
        raise NotImplementedError(
            f"estimator: {estimator!r} needs samples that move with their distribution, those of "
            f"{type(posterior).__name__} do not; 'iwae' takes their straight-through derivatives"
        )
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


def standard_normal_log_density(z: Tensor, *, batch_dims: int = 1) -> Tensor:
    """log N(z; 0, 1) per datapoint, in nats: the usual prior's part of ``log_joint``."""
    return standard_log_prob(z, batch_dims=batch_dims)
