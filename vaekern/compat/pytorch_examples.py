"""The loss and the sampling of the VAE in pytorch/examples, which countless scripts copy."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern.compat._noise import NoiseSource, check_source
from vaekern.compat._probabilities import cross_entropy
from vaekern.compat._tensors import broadcast, formula_dtype
from vaekern.functional import gaussian_kl
from vaekern.functional import reparameterize as fused_reparameterize

__all__ = ["loss_function", "reparameterize"]


def reparameterize(mu: Tensor, logvar: Tensor, *, noise: NoiseSource = "torch") -> Tensor:
    """z = mu + exp(logvar / 2) * eps, where eps is ``torch.randn_like(logvar)``.

    ``noise="fused"`` generates eps inside the kernel instead: other numbers for the same seed.
    """
    check_source(noise)
    mu = mu.to(formula_dtype(mu, logvar))
    if noise == "fused":
        mu, logvar = broadcast(mu, logvar)
        return fused_reparameterize(mu, logvar)
    mu, logvar, eps = broadcast(mu, logvar, torch.randn_like(logvar))
    return fused_reparameterize(mu, logvar, eps)


def loss_function(recon_x: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Binary cross-entropy plus KL divergence to N(0, 1), both summed over everything.

    ``recon_x`` are probabilities, [B, D]; ``x`` is [B, ...] with as many numbers in [0, 1].

    The cross-entropy of probabilities has torch's clamps (of logarithms at -100, of the gradient's
    denominator at 1e-12). Where the decoder can give logits instead, drop its sigmoid and call
    ``vaekern.elbo_loss(logits, x, mu, logvar, reduction="sum")``: the sigmoid's output and gradient
    are never stored, nothing is clamped, and confident pixels keep their gradients.

    Raises:
        RuntimeError: something in ``recon_x`` is outside [0, 1] or NaN, or ``x`` has a NaN. Like
            torch's, this check is for CPU tensors in eager code; it reads the result alone.
            Elsewhere the loss is NaN: in compiled and transformed code, and on a GPU, where torch's
            kernel fails an assertion. That ``x`` is in [0, 1] is not checked.
    """
    targets = x.view(-1, recon_x.shape[-1])
    bce = cross_entropy(recon_x, targets, batch_dims=0)
    kld = gaussian_kl(*broadcast(mu, logvar), batch_dims=0)
    return bce + kld.to(formula_dtype(mu, logvar))
