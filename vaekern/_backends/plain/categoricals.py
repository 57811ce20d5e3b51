"""Categorical latent variables, whose logits lie along the last dimension."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaekern._backends.plain.counts import small_gap
from vaekern._backends.plain.elements import expm1, per_datapoint, widen
from vaekern._backends.plain.noise import gumbel
from vaekern._backends.plain.posteriors import variance_kl

__all__ = ["categorical_kl", "gumbel_softmax", "sample_categorical"]


def _normalised(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The softmax of rows, and its logarithm. Logits of +inf leave nothing to the others."""
    top = logits.detach().amax(-1, keepdim=True)
    infinite = top == math.inf
    below = logits - torch.where(infinite, 0.0, top)
    below = torch.where(infinite, torch.where(logits == top, 0.0, -math.inf), below)
    e = torch.exp(below)
    total = e.sum(-1, keepdim=True)
    return e / total, below - total.log()


def categorical_kl(logits: Tensor, prior_logits: Tensor, batch_dims: int, unimix: float) -> Tensor:
    logits, prior_logits = widen(logits, prior_logits)
    s, log_s = _normalised(logits)
    t, log_t = _normalised(prior_logits)
    kept, floor = 1.0 - unimix, unimix / logits.shape[-1]
    q, p = kept * s + floor, kept * t + floor
    never = (log_s == -math.inf) & (log_t == -math.inf)
    y = torch.where(never, 0.0, log_s) - torch.where(never, 0.0, log_t)
    above = y > 1.0
    less = kept * torch.where(above, s - t, t * expm1(torch.where(above, 0.0, y)))
    # q log(q / p) - q + p, of which the sum over classes is that of q log(q / p): none of these is
    # negative, and none cancels where q is nearly p.
    none = q < torch.finfo(q.dtype).tiny
    if unimix == 0.0:
        terms = _terms(q, p, torch.where(none, 0.0, y))
    else:
        terms = q * _gap(torch.where(none, 1.0, q), torch.where(none, 1.0, p), less)
    return per_datapoint(torch.where(none, -less, terms), batch_dims)


def _terms(q: Tensor, p: Tensor, y: Tensor) -> Tensor:
    """p - q + q y, given y = log(q / p). Far from 0 so: q e^-y would have p with all of y's
    absolute error, a multiple of what p and q y are off."""
    near = y.abs() < 2.0
    small = q * (2.0 * variance_kl(torch.where(near, -y, 0.0)))
    return torch.where(near, small, (p - q) + q * torch.where(near, 0.0, y))


def _gap(q: Tensor, p: Tensor, less: Tensor) -> Tensor:
    """p / q - 1 - log(p / q), given ``less`` = q - p."""
    change = -less / q
    near, ratio = small_gap(change)
    far = change - torch.where(near, 1.0, p).log() + torch.where(near, 1.0, q).log()
    return torch.where(near, change * ratio, far)


def _noise_like(noise: Tensor, logits: Tensor) -> Tensor:
    if noise.dtype is torch.int64:
        return gumbel(noise, logits.shape, logits.dtype)
    return noise.to(logits.dtype)


def _straight_through(scores: Tensor, probabilities: Tensor) -> Tensor:
    """The one-hot vectors of the largest scores, with the gradients of the probabilities; NaN where
    those are."""
    chosen = torch.zeros_like(scores).scatter(-1, scores.detach().argmax(-1, keepdim=True), 1.0)
    return chosen + (probabilities - probabilities.detach())


def sample_categorical(logits: Tensor, noise: Tensor, batch_dims: int, unimix: float) -> Tensor:
    (wide,) = widen(logits)
    s, log_s = _normalised(wide)
    q = (1.0 - unimix) * s + unimix / logits.shape[-1]
    scores = (log_s if unimix == 0.0 else q.log()) + _noise_like(noise, wide)
    return _straight_through(scores, q).to(logits.dtype)


def gumbel_softmax(
    logits: Tensor, temperature: Tensor, noise: Tensor, batch_dims: int, hard: float
) -> Tensor:
    wide, temperature = widen(logits, temperature)
    z = wide + _noise_like(noise, wide)
    y, log_y = _normalised(z / temperature)
    return (_straight_through(log_y, y) if hard else y).to(logits.dtype)
