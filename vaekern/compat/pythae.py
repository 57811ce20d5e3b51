"""Losses of pythae's models, for their ``loss_function`` methods to call."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from torch import Tensor

from vaekern.compat._tensors import broadcast, formula_dtype
from vaekern.functional import gaussian_kl, gaussian_log_likelihood
from vaekern.functional.squared_error import squared_error

__all__ = ["iwae_loss_function", "loss_function"]


def loss_function(
    recon_x: Tensor,
    x: Tensor,
    mu: Tensor,
    log_var: Tensor,
    z: Tensor | None = None,
    *,
    reconstruction_loss: str = "mse",
    beta: Tensor | float = 1.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, reconstruction loss and KL divergence of ``VAE`` (and ``BetaVAE`` with ``beta``):
    summed over features, averaged over datapoints.

    ``"mse"`` is half the sum of squares; ``"bce"`` the cross-entropy of probabilities, torch's
    own. ``z`` is not used, here or there.
    """
    recon_loss = _reconstruction_loss(recon_x.flatten(1), x.flatten(1), reconstruction_loss)
    posterior = broadcast(mu, log_var)
    kld = gaussian_kl(*posterior, batch_dims=posterior[0].dim() - 1)
    kld = kld.to(formula_dtype(mu, log_var))
    return (recon_loss + beta * kld).mean(dim=0), recon_loss.mean(dim=0), kld.mean(dim=0)


def iwae_loss_function(
    recon_x: Tensor,
    x: Tensor,
    mu: Tensor,
    log_var: Tensor,
    z: Tensor,
    *,
    reconstruction_loss: str = "mse",
) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, reconstruction loss and KL estimate of ``IWAE``, from K samples for each datapoint.

    ``recon_x`` is [B, K, D], ``mu``, ``log_var`` and ``z`` are [B, K, L]. ``x``, [B, ...], is
    broadcast over the samples, not repeated.
    """
    target = x.flatten(1).unsqueeze(1).expand(recon_x.shape)
    recon_loss = _reconstruction_loss(recon_x, target, reconstruction_loss)
    mean, sample, logvar = broadcast(mu, z, parameters=(log_var,))
    log_q = gaussian_log_likelihood(mean, sample, logvar, batch_dims=2)
    log_p = gaussian_log_likelihood(torch.zeros_like(sample), sample, batch_dims=2)
    kld = (log_q - log_p).to(formula_dtype(mu, log_var, z))
    log_w = -(recon_loss + kld)
    weights = torch.softmax(log_w, dim=1).detach()
    return -(weights * log_w).sum(1).mean(), recon_loss.mean(), kld.mean()


def _reconstruction_loss(recon_x: Tensor, x: Tensor, kind: str) -> Tensor:
    """Summed over the last dimension."""
    if kind == "bce":
        return F.binary_cross_entropy(recon_x, x, reduction="none").sum(dim=-1)
    if kind != "mse":
        raise ValueError(f"reconstruction_loss: expected 'mse' or 'bce', got {kind!r}")
    dtype = formula_dtype(recon_x, x)
    return (0.5 * squared_error(recon_x, x.to(dtype), batch_dims=recon_x.dim() - 1)).to(dtype)
