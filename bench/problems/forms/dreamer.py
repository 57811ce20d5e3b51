"""Dreamer's representation loss, as the PyTorch ports have it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Independent, OneHotCategorical, kl_divergence

FREE, DYNAMICS, REPRESENTATION, UNIMIX = 1.0, 0.5, 0.1, 0.01


def _mixed(logits: Tensor) -> Tensor:
    """Logarithms of the probabilities."""
    probs = torch.softmax(logits, dim=-1)
    return torch.log(probs * (1.0 - UNIMIX) + UNIMIX / logits.shape[-1])


def _eager_kl(post: Tensor, prior: Tensor) -> Tensor:
    log_q, log_p = _mixed(post), _mixed(prior)
    return (log_q.exp() * (log_q - log_p)).sum((-2, -1))


def _of_distributions(post: Tensor, prior: Tensor) -> Tensor:
    q, p = (
        Independent(OneHotCategorical(logits=_mixed(t), validate_args=False), 1)
        for t in (post, prior)
    )
    return kl_divergence(q, p)


def _loss(kl: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(post: Tensor, prior: Tensor) -> Tensor:
        representation = torch.clip(kl(post, prior.detach()), min=FREE)
        dynamics = torch.clip(kl(post.detach(), prior), min=FREE)
        return (DYNAMICS * dynamics + REPRESENTATION * representation).mean()

    return loss


eager_loss, loss_of_distributions = _loss(_eager_kl), _loss(_of_distributions)
