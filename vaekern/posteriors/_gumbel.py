"""Samples of classes by Gumbel noise, and the density of relaxed ones, in plain torch."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import log_sum_exp, per_datapoint
from vaekern._checks import check_float, check_like, number_or_scalar
from vaekern.posteriors._linear import standard_noise


def sample_categorical(logits: Tensor, probs: Tensor, seed: Tensor) -> Tensor:
    """One-hot samples in the logits' dtype, with the derivatives of ``probs`` (Bengio et al. 2013),
    which are the classes' probabilities.

    The class is the largest of log-probability plus Gumbel noise, which is that of the smallest of
    exponential noise over probability.
    """
    waits = _exponential(logits, seed, probs.dtype) / probs.detach()
    one_hot = torch.zeros_like(probs).scatter(-1, waits.argmin(-1, keepdim=True), 1.0)
    return (one_hot + (probs - probs.detach())).to(logits.dtype)


def gumbel_softmax(
    logits: Tensor, temperature: Tensor | float, *, hard: bool, seed: Tensor
) -> Tensor:
    """softmax((logits + Gumbel noise) / temperature) in the logits' dtype, or for ``hard`` the
    one-hot vector of its largest element with its derivatives (Jang et al. 2017)."""
    wide = logits.to(accumulation_dtype((logits,)))
    noisy = wide - _exponential(logits, seed, wide.dtype).log()
    z = torch.softmax(noisy / temperature, dim=-1)
    if hard:
        best = noisy.detach().argmax(-1, keepdim=True)
        z = torch.zeros_like(z).scatter(-1, best, 1.0) + (z - z.detach())
    return z.to(logits.dtype)


def relaxed_categorical_log_prob(
    z: Tensor, logits: Tensor, temperature: Tensor | float, batch_dims: int
) -> Tensor:
    r"""The logarithm of the Concrete density, per datapoint in nats.

    .. math:: \log \Gamma(K) + (K - 1) \log \tau
        + \sum_k (l_k - \tau \log z_k) - K \log \sum_k e^{l_k - \tau \log z_k} - \sum_k \log z_k

    (Maddison et al. 2017, eq. 10.) Where an element of z is 0, which only rounding makes it, it is
    taken for the smallest number that is normal.
    """
    check_float("z", z)
    check_like("z", z, "logits", logits)
    wide = accumulation_dtype((z, logits))
    classes = logits.shape[-1]
    log_z = z.to(wide).clamp(min=torch.finfo(wide).tiny).log()
    scores = logits.to(wide) - temperature * log_z
    of_temperature = (classes - 1) * _log(temperature) + math.lgamma(classes)
    total = (scores - log_z).sum(-1) - classes * log_sum_exp(scores, -1) + of_temperature
    return per_datapoint(total, batch_dims)


def check_temperature(temperature: Tensor | float) -> Tensor | float:
    number = number_or_scalar("temperature", temperature)
    if not isinstance(number, Tensor) and not number > 0.0:
        raise ValueError(f"temperature: expected a positive number, got {temperature}")
    return number


def _log(temperature: Tensor | float) -> Tensor | float:
    return temperature.log() if isinstance(temperature, Tensor) else math.log(temperature)


def _exponential(logits: Tensor, seed: Tensor, dtype: torch.dtype) -> Tensor:
    """Exponential noise of the logits' shape: half the squares of two normals."""
    noise = standard_noise((2, *logits.shape), logits, dtype, None, seed, None)
    return 0.5 * noise.square().sum(0)
