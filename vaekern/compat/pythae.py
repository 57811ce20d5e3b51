"""Losses of pythae's models, for their ``loss_function`` methods to call, and the patch that has
them do so."""

from __future__ import annotations

import importlib
import math
from typing import Any

import torch
from torch import Tensor

from vaekern.compat._patch import Patch
from vaekern.compat._probabilities import cross_entropy
from vaekern.compat._tensors import as_dtype, broadcast, formula_dtype
from vaekern.functional import gaussian_kl, gaussian_log_likelihood
from vaekern.functional.squared_error import squared_error

__all__ = ["iwae_loss_function", "loss_function", "patch_pythae"]

_LOG_TWO_PI = math.log(2.0 * math.pi)


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

    ``"mse"`` is half the sum of squares; ``"bce"`` the cross-entropy of probabilities, with torch's
    clamps. ``z`` is not used, here or there.

    Raises:
        ValueError: shapes differ, or ``reconstruction_loss`` is neither.
        RuntimeError: something in ``recon_x`` is no probability, as torch says of CPU tensors.
    """
    recon_loss = _of_each_datapoint(recon_x, x, reconstruction_loss)
    posterior = broadcast(mu, log_var)
    kld = gaussian_kl(*posterior, batch_dims=posterior[0].dim() - 1)
    kld = as_dtype(kld, formula_dtype(mu, log_var))
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
    recon_loss, kld = _of_each_sample(recon_x, x, mu, log_var, z, reconstruction_loss)
    return _importance_weighted(recon_loss, kld).mean(), recon_loss.mean(), kld.mean()


def patch_pythae() -> Patch:
    """Has ``VAE``, ``BetaVAE``, ``IWAE``, ``MIWAE``, ``PIWAE``, ``CIWAE`` and ``VAMP`` of pythae,
    and subclasses that inherit their ``loss_function``, compute it as the functions here do; the
    mixture that is ``VAMP``'s prior is computed by a kernel, too.

    Returns:
        What undoes it: ``patch_pythae().undo()``, or ``with patch_pythae(): ...``.

    Raises:
        ImportError: pythae is not installed.
    """
    models = importlib.import_module("pythae.models")
    patch = Patch()
    for name, method in (
        ("VAE", _vae_loss),
        ("BetaVAE", _beta_vae_loss),
        ("IWAE", _iwae_loss),
        ("MIWAE", _miwae_loss),
        ("PIWAE", _piwae_loss),
        ("CIWAE", _ciwae_loss),
        ("VAMP", _vamp_loss),
    ):
        patch.set_attribute(getattr(models, name), "loss_function", method)
    patch.set_attribute(models.VAMP, "_log_p_z", _log_vamp_prior)
    return patch


# --- methods of pythae's models -----------------------------------------------------------------

Losses = tuple[Tensor, Tensor, Tensor]


def _vae_loss(
    self: Any, recon_x: Tensor, x: Tensor, mu: Tensor, log_var: Tensor, z: Tensor
) -> Losses:
    kind = self.model_config.reconstruction_loss
    return loss_function(recon_x, x, mu, log_var, z, reconstruction_loss=kind)


def _beta_vae_loss(
    self: Any, recon_x: Tensor, x: Tensor, mu: Tensor, log_var: Tensor, z: Tensor
) -> Losses:
    kind = self.model_config.reconstruction_loss
    return loss_function(recon_x, x, mu, log_var, z, reconstruction_loss=kind, beta=self.beta)


def _iwae_loss(
    self: Any, recon_x: Tensor, x: Tensor, mu: Tensor, log_var: Tensor, z: Tensor
) -> Losses:
    kind = self.model_config.reconstruction_loss
    return iwae_loss_function(recon_x, x, mu, log_var, z, reconstruction_loss=kind)


def _miwae_loss(
    self: Any, recon_x: Tensor, x: Tensor, mu: Tensor, log_var: Tensor, z: Tensor
) -> Losses:
    """Weights are normalised over dimension 1, that of the estimates, as there."""
    kind = self.model_config.reconstruction_loss
    recon_loss, kld = _of_each_sample(recon_x, x, mu, log_var, z, kind)
    return _importance_weighted(recon_loss, kld).mean(), recon_loss.mean(dim=0), kld.mean(dim=0)


def _piwae_loss(
    self: Any, recon_x: Tensor, x: Tensor, mu: Tensor, log_var: Tensor, z: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """That of ``MIWAE``, for the encoder, then one over all samples, for the decoder."""
    kind = self.model_config.reconstruction_loss
    recon_loss, kld = _of_each_sample(recon_x, x, mu, log_var, z, kind)
    miwae_loss = _importance_weighted(recon_loss, kld).mean()
    iwae_loss = _importance_weighted(recon_loss.flatten(1), kld.flatten(1)).mean()
    return miwae_loss, iwae_loss, recon_loss.mean(dim=0), kld.mean(dim=0)


def _ciwae_loss(
    self: Any, recon_x: Tensor, x: Tensor, mu: Tensor, log_var: Tensor, z: Tensor
) -> Losses:
    kind = self.model_config.reconstruction_loss
    recon_loss, kld = _of_each_sample(recon_x, x, mu, log_var, z, kind)
    of_each = self.beta * (recon_loss + kld).mean(dim=-1)
    of_each = of_each + (1 - self.beta) * _importance_weighted(recon_loss, kld)
    return of_each.mean(dim=0), recon_loss.mean(dim=0), kld.mean(dim=0)


def _vamp_loss(
    self: Any, recon_x: Tensor, x: Tensor, mu: Tensor, log_var: Tensor, z: Tensor, epoch: int
) -> Losses:
    kind = self.model_config.reconstruction_loss
    recon_loss = _of_each_datapoint(recon_x, x, kind)
    log_q = _unnormalised(_log_density(mu, z, log_var), z)
    kld = (log_q - self._log_p_z(z)).to(formula_dtype(mu, log_var, z))
    warming_up = self.linear_scheduling > 0 and self.training
    beta = min(1.0, epoch / self.linear_scheduling) if warming_up else 1.0
    return (recon_loss + beta * kld).mean(dim=0), recon_loss.mean(dim=0), kld.mean(dim=0)


def _log_vamp_prior(self: Any, z: Tensor) -> Tensor:
    """``VAMP._log_p_z``: the mixture of the posteriors of learned inputs."""
    n = self.number_components
    inputs = self.pseudo_inputs(self.idle_input.to(z.device))
    prior = self.encoder(inputs.reshape((n, *self.model_config.input_dim)))
    mean, logvar = prior.embedding.unsqueeze(0), prior.log_covariance.unsqueeze(0)
    components = _log_density(mean, z.unsqueeze(1), logvar)
    log_p = torch.logsumexp(components - math.log(n), dim=1)
    return _unnormalised(log_p, z).to(formula_dtype(z, mean, logvar))


def _of_each_datapoint(recon_x: Tensor, x: Tensor, kind: str) -> Tensor:
    """Reconstruction losses [B]. The data alone say what a datapoint is: decoders may give another
    shape, with as many numbers."""
    n = x.shape[0]
    if recon_x.numel() != x.numel():
        raise ValueError(
            f"recon_x: expected as many numbers as x {tuple(x.shape)}, got {tuple(recon_x.shape)}"
        )
    return _reconstruction_loss(recon_x.reshape(n, -1), x.reshape(n, -1), kind)


def _of_each_sample(
    recon_x: Tensor, x: Tensor, mu: Tensor, log_var: Tensor, z: Tensor, kind: str
) -> tuple[Tensor, Tensor]:
    """Reconstruction losses and estimates of the divergence, [B, ...], of ``recon_x`` [B, ..., D]
    and ``z`` [B, ..., L]."""
    samples = recon_x.dim() - 2
    target = x.reshape(recon_x.shape[0], *(1,) * samples, -1).expand(recon_x.shape)
    recon_loss = _reconstruction_loss(recon_x, target, kind)
    log_p = gaussian_log_likelihood(torch.zeros_like(z), z, batch_dims=z.dim() - 1)
    kld = (_log_density(mu, z, log_var) - log_p).to(formula_dtype(mu, log_var, z))
    return recon_loss, kld


def _importance_weighted(recon_loss: Tensor, kld: Tensor) -> Tensor:
    """Minus the log-weights, averaged by the weights themselves along dimension 1. Its gradient is
    that of ``vaekern.objectives.importance_weighted_bound``; its value, which pythae reports, is
    another: the bound is the logarithm of the mean weight."""
    loss = recon_loss + kld
    weights = torch.softmax(-loss, dim=1).detach()
    return (weights * loss).sum(1)


def _log_density(mu: Tensor, z: Tensor, log_var: Tensor) -> Tensor:
    """Of Gaussians along the last dimension."""
    mean, sample, logvar = broadcast(mu, z, parameters=(log_var,))
    return gaussian_log_likelihood(mean, sample, logvar, batch_dims=mean.dim() - 1)


def _unnormalised(log_p: Tensor, z: Tensor) -> Tensor:
    """Without the constant, which pythae leaves out."""
    return log_p + 0.5 * _LOG_TWO_PI * z.shape[-1]


def _reconstruction_loss(recon_x: Tensor, x: Tensor, kind: str) -> Tensor:
    """Summed over the last dimension."""
    if kind == "bce":
        return cross_entropy(recon_x, x, batch_dims=recon_x.dim() - 1)
    if kind != "mse":
        raise ValueError(f"reconstruction_loss: expected 'mse' or 'bce', got {kind!r}")
    dtype = formula_dtype(recon_x, x)
    batch_dims = recon_x.dim() - 1
    half = squared_error(recon_x, as_dtype(x, dtype), batch_dims, factor=0.5)
    return as_dtype(half, dtype)
