"""The right answers, in float64: the formulas as they are written."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

import vaekern as vk

_LOG_2PI = math.log(2.0 * math.pi)


def bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(x * logits - functional.softplus(logits, threshold=1000.0))


def bernoulli_probs(probs: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(x * torch.log(probs) + (1.0 - x) * torch.log1p(-probs))


def continuous_bernoulli(logits: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(x * logits - torch.log(torch.expm1(logits) / logits))


def gaussian(mean: Tensor, x_logvar: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(-0.5 * ((x - mean).square() * torch.exp(-x_logvar) + x_logvar + _LOG_2PI))


def laplace(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(-((x - loc).abs() * torch.exp(-log_scale) + log_scale + math.log(2.0)))


def student_t(loc: Tensor, log_scale: Tensor, df: Tensor, x: Tensor) -> Tensor:
    u = (x - loc) * torch.exp(-log_scale)
    normaliser = torch.lgamma(0.5 * (df + 1.0)) - torch.lgamma(0.5 * df) - 0.5 * torch.log(df)
    at_loc = normaliser - 0.5 * math.log(math.pi) - log_scale
    return _per_datapoint(at_loc - 0.5 * (df + 1.0) * torch.log1p(u.square() / df))


def discretized_logistic(loc: Tensor, log_scale: Tensor, x: Tensor) -> Tensor:
    upper, lower = (torch.exp(-log_scale) * (x - loc + end) for end in (1 / 255, -1 / 255))
    inside = torch.sigmoid(upper) - torch.sigmoid(lower)
    below, above = functional.logsigmoid(upper), functional.logsigmoid(-lower)
    edges = torch.where(x < -0.999, below, torch.where(x > 0.999, above, inside.log()))
    return _per_datapoint(edges)


def categorical(logits: Tensor, x: Tensor) -> Tensor:
    log_p = logits - logits.logsumexp(-1, keepdim=True)
    return _per_datapoint(log_p.gather(-1, x.long().unsqueeze(-1)))


def multinomial(logits: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(x * (logits - logits.logsumexp(-1, keepdim=True)))


def poisson(log_rate: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(x * log_rate - torch.exp(log_rate) - torch.lgamma(x + 1.0))


def _negative_binomial_elements(log_mean: Tensor, log_dispersion: Tensor, x: Tensor) -> Tensor:
    theta, both = torch.exp(log_dispersion), torch.logaddexp(log_mean, log_dispersion)
    gammas = torch.lgamma(x + theta) - torch.lgamma(theta) - torch.lgamma(x + 1.0)
    return gammas + theta * (log_dispersion - both) + x * (log_mean - both)


def negative_binomial(log_mean: Tensor, log_dispersion: Tensor, x: Tensor) -> Tensor:
    return _per_datapoint(_negative_binomial_elements(log_mean, log_dispersion, x))


def zero_inflated(
    log_mean: Tensor, log_dispersion: Tensor, zero_logits: Tensor, x: Tensor
) -> Tensor:
    count = _negative_binomial_elements(log_mean, log_dispersion, x)
    of_zero = torch.logaddexp(zero_logits, count)
    return _per_datapoint(
        torch.where(x == 0, of_zero, count) - functional.softplus(zero_logits, threshold=1000.0)
    )


def standard_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    return _per_datapoint(0.5 * (mu.square() + torch.expm1(logvar) - logvar))


def gaussian_kl(mu: Tensor, logvar: Tensor, prior_mu: Tensor, prior_logvar: Tensor) -> Tensor:
    delta = logvar - prior_logvar
    distance = (mu - prior_mu).square() * torch.exp(-prior_logvar)
    return _per_datapoint(0.5 * (distance + torch.expm1(delta) - delta))


def bernoulli_elbo(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    return (standard_kl(mu, logvar) - bernoulli(logits, x)).mean()


def gaussian_elbo(mean: Tensor, x_logvar: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    return (standard_kl(mu, logvar) - gaussian(mean, x_logvar, x)).mean()


def _per_datapoint(elements: Tensor) -> Tensor:
    return elements.flatten(1).sum(1)


def image_nll(params: Tensor, x: Tensor) -> Tensor:
    return -vk.reference.logistic_mixture_log_likelihood(params, x).mean()
