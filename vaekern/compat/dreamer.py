"""The loss of DreamerV3's representation, as the PyTorch ports of it have it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vaekern._ops.one_sided import one_sided
from vaekern.compat._tensors import formula_dtype
from vaekern.functional.categoricals import categorical_kl_call

__all__ = ["kl_loss"]


def kl_loss(
    post: Mapping[str, Tensor],
    prior: Mapping[str, Tensor],
    free: float,
    dyn_scale: float,
    rep_scale: float,
    *,
    unimix_ratio: float = 0.01,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    r"""The method ``RSSM.kl_loss`` of dreamerv3-torch, for discrete latents.

    .. math:: \beta_d \max(f, KL(\mathrm{sg}(q) \| p)) + \beta_r \max(f, KL(q \| \mathrm{sg}(p)))

    with sg stopping gradients, and both distributions mixed with a uniform one. (Hafner et al.
    2023, eq. 5.)

    Args:
        post, prior: states that have the logits [*batch, stoch, discrete] as ``"logit"``.
        free: f, the free nats of a datapoint.
        dyn_scale, rep_scale: the weights of the two terms.
        unimix_ratio: the uniform distribution's share.

    Returns:
        The loss, the divergence, and the two terms without their weights, each [*batch], in nats,
        in the logits' dtype (float32 in CUDA's autocast).

    Errors are those of :func:`vaekern.categorical_kl`.
    """
    q, p = post["logit"], prior["logit"]
    call = categorical_kl_call(q, p, unimix_ratio, q.dim() - 2)
    value, of_prior = one_sided(call, 1)
    rep_loss = torch.clip(value, min=free)
    dyn_loss = torch.clip(of_prior, min=free)
    loss = dyn_scale * dyn_loss + rep_scale * rep_loss
    dtype = formula_dtype(q, p)  # rounded once, at the end
    return loss.to(dtype), value.to(dtype), dyn_loss.to(dtype), rep_loss.to(dtype)
