"""Gaussians with full covariance, L L^T: samples and KL divergences."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._checks import broadcastable, check_batch_dims, check_device, check_float
from vaekern._torch import shape_to_compare
from vaekern._validation import checks, switch
from vaekern.functional import gaussian_kl
from vaekern.posteriors._linear import (
    half_squares,
    solve_lower,
    standard_noise,
    times_vector,
    zeros,
)

__all__ = ["gaussian_kl_tril", "sample_tril"]


def sample_tril(
    mu: Tensor,
    tril: Tensor,
    eps: Tensor | None = None,
    seed: int | Tensor | None = None,
    generator: torch.Generator | None = None,
    *,
    batch_dims: int = 1,
) -> Tensor:
    r"""Samples z ~ N(mu, L L^T) as a differentiable function of mean and Cholesky factor.

    .. math:: z = \mu + L \epsilon, \quad \epsilon \sim N(0, I)

    (Kingma & Welling 2013, section 2.4; Rezende et al. 2014.) The noise is that of
    :func:`vaekern.reparameterize` for the same seed and shape, so that a diagonal L gives its
    samples.

    Args:
        mu: means [..., D]. Gets gradients.
        tril: L, [..., D, D] with the leading dimensions of ``mu``; what is above the diagonal is
            not read. Vectors along the last dimension of ``mu`` are independent of each other.
            Gets gradients. See :func:`vaekern.posteriors.tril_from_matrix` for a way to make it.
        eps: noise to use instead of generating it, the shape of ``mu``. Gets gradients.
        seed, generator: the noise's source, as in :func:`vaekern.reparameterize`.
        batch_dims: accepted for uniformity; samples do not depend on it.

    Returns:
        z, the shape of ``mu``.

    Raises:
        ValueError: shapes or devices do not fit, or more than one source of noise is given.
        TypeError: an argument is no floating-point tensor.
    """
    check_tril(mu, tril, batch_dims)
    wide = accumulation_dtype((mu, tril))
    noise = standard_noise(mu.shape, mu, wide, eps, seed, generator)
    z = mu.to(wide) + times_vector(torch.tril(tril.to(wide)), noise)
    return z.to(torch.promote_types(mu.dtype, tril.dtype))


def gaussian_kl_tril(
    mu: Tensor,
    tril: Tensor,
    prior_mu: Tensor | float | None = None,
    prior_tril: Tensor | None = None,
    *,
    batch_dims: int = 1,
) -> Tensor:
    r"""KL divergence of Gaussians with full covariance, KL(N(mu, L L^T) || prior), per datapoint
    in nats.

    To N(0, I), in D dimensions,

    .. math:: \tfrac12 (\|L\|_F^2 + \|\mu\|^2 - D) - \sum_i \log L_{ii}

    and to N(m, M M^T)

    .. math:: \tfrac12 (\|M^{-1} L\|_F^2 + \|M^{-1} (\mu - m)\|^2 - D)
        - \sum_i \log (L_{ii} / M_{ii})

    The diagonal's part is that of :func:`vaekern.gaussian_kl` with ``scale="std"``, and
    :math:`M^{-1} L` is computed as :math:`I + M^{-1} (L - M)`: nothing cancels near the prior.

    Args:
        mu: the posterior's means [..., D]. Gets gradients.
        tril: L, [..., D, D] with the leading dimensions of ``mu``; what is above the diagonal is
            not read. Vectors along the last dimension of ``mu`` are independent of each other, and
            summed over where they are of one datapoint. Its diagonal must be positive (not
            checked; the divergence is infinite for 0 and NaN below). Gets gradients.
        prior_mu: the prior's means m, broadcasting as in :func:`vaekern.gaussian_kl`; None is 0.
            A tensor gets gradients.
        prior_tril: M, None for the identity. The shape of ``tril``, its event shape (shared by all
            datapoints), or either with a 1 for each dimension it is shared over, but for the last
            two. Gets gradients.
        batch_dims: how many leading dimensions index datapoints; the last dimension of ``mu`` is
            not among them.

    Returns:
        KL, the shape ``mu.shape[:batch_dims]``, float32 (float64 for float64).

    Raises:
        ValueError: shapes or devices do not fit.
        TypeError: an argument is no floating-point tensor.
    """
    check_tril(mu, tril, batch_dims)
    if prior_tril is None:
        of_diagonal = gaussian_kl(
            mu, diagonal_of(tril), prior_mu, scale="std", batch_dims=batch_dims
        )
        return of_diagonal + half_squares(torch.tril(tril, -1), batch_dims)
    wide = accumulation_dtype((mu, tril, prior_mu, prior_tril))
    m = broadcastable("prior_mu", 0.0 if prior_mu is None else prior_mu, "mu", mu, batch_dims, wide)
    prior = _check_prior_tril(prior_tril, tril, batch_dims).to(wide)
    of_diagonal = gaussian_kl(
        zeros(mu.shape, mu),
        diagonal_of(tril.to(wide)),
        prior_logvar=diagonal_of(prior),
        scale="std",
        batch_dims=batch_dims,
    )
    shift = (mu.to(wide) - m).unsqueeze(-1)
    solved = solve_lower(prior, torch.cat([shift, torch.tril(tril.to(wide) - prior)], dim=-1))
    # The shift is column 0, and so the part strictly below the diagonal is now the lower one.
    return of_diagonal + half_squares(torch.tril(solved), batch_dims)


def diagonal_of(tril: Tensor) -> Tensor:
    return tril.diagonal(dim1=-2, dim2=-1)


def check_tril(mu: Tensor, tril: Tensor, batch_dims: int) -> None:
    check_float("mu", mu)
    check_float("tril", tril)
    if mu.dim() == 0:
        raise ValueError("mu: expected at least one dimension, got a scalar tensor")
    shape = shape_to_compare(mu)
    wanted = (*shape, shape[-1])
    if shape_to_compare(tril) != wanted:
        raise ValueError(
            f"tril: expected shape {wanted} for mu {tuple(mu.shape)}, got {tuple(tril.shape)}"
        )
    check_device("tril", tril, "mu", mu)
    check_vector_batch_dims(batch_dims, mu)
    if switch.enabled:
        checks.check("tril", checks.Values({"diagonal of tril": diagonal_of(tril)}))


def check_vector_batch_dims(batch_dims: int, mu: Tensor) -> None:
    """At least the last dimension is of the event."""
    check_batch_dims(batch_dims, "mu", mu)
    if batch_dims == mu.dim():
        raise ValueError(
            f"batch_dims: expected at most {mu.dim() - 1}, as the last dimension of mu "
            f"{tuple(mu.shape)} is a correlated one, got {batch_dims}"
        )


def _check_prior_tril(prior_tril: Tensor, tril: Tensor, batch_dims: int) -> Tensor:
    check_float("prior_tril", prior_tril)
    if shape_to_compare(prior_tril)[-2:] != shape_to_compare(tril)[-2:]:
        raise ValueError(
            f"prior_tril: expected matrices {tuple(tril.shape[-2:])} as in tril "
            f"{tuple(tril.shape)}, got shape {tuple(prior_tril.shape)}"
        )
    return broadcastable("prior_tril", prior_tril, "tril", tril, batch_dims, prior_tril.dtype)
