"""A model of which everything is known: x = W z + noise with z ~ N(0, 1) and W of orthogonal
columns, so that the true posterior is a diagonal Gaussian."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

ESTIMATORS = ("iwae", "stl", "dreg")

N = 20_000  # independent estimates of one number
UNBIASED = 4.5  # standard errors: once in 150,000 by chance; seeds are fixed

X = torch.tensor([0.7, -1.1, 0.4, 1.9], dtype=torch.float64)
W = torch.tensor([[1.0, 0.5], [-1.0, 0.5], [0.8, 0.4], [0.5, -0.64]], dtype=torch.float64)
W[3, 1] = -(W[:3, 0] * W[:3, 1]).sum() / W[3, 0]
NOISE = 0.6  # standard deviation

# A posterior that is off in every parameter.
MU = torch.tensor([0.3, -0.2], dtype=torch.float64)
LOGVAR = torch.tensor([-0.5, 0.2], dtype=torch.float64)


def log_joint(z: Tensor, w: Tensor = W) -> Tensor:
    """log p(x, z) of z [..., 2]; w may have the batch dimensions of z in front."""
    mean = (w @ z[..., None])[..., 0]
    log_likelihood = Normal(mean, NOISE).log_prob(X).sum(-1)
    return log_likelihood + Normal(0.0, 1.0).log_prob(z).sum(-1)


def log_evidence(w: Tensor = W) -> Tensor:
    covariance = w @ w.T + NOISE**2 * torch.eye(4, dtype=torch.float64)
    return MultivariateNormal(torch.zeros(4, dtype=torch.float64), covariance).log_prob(X)


def true_posterior() -> tuple[Tensor, Tensor]:
    """Mean and log-variance."""
    precision = 1.0 + (W * W).sum(0) / NOISE**2
    return (W.T @ X) / NOISE**2 / precision, -precision.log()


def elbo(mu: Tensor, logvar: Tensor, w: Tensor = W) -> Tensor:
    """In closed form."""
    squares = (X - w @ mu).square().sum() + ((w * w).sum(0) * logvar.exp()).sum()
    log_likelihood = -0.5 * squares / NOISE**2 - 2.0 * math.log(2.0 * math.pi * NOISE**2)
    kl = 0.5 * (mu * mu + logvar.exp() - 1.0 - logvar).sum()
    return log_likelihood - kl


def worst_z_score(samples: Tensor, mean: Tensor) -> float:
    """How many standard errors the mean of independent samples [N, ...] is away, at worst."""
    error = samples.std(0) / samples.shape[0] ** 0.5
    return ((samples.mean(0) - mean).abs() / error).max().item()


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
