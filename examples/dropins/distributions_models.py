"""A variational autoencoder written with ``torch.distributions``.

python examples/dropins/distributions_models.py
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from comparison import Model, main
from torch import Tensor, distributions, nn

from vaekern import compat

LATENT, PIXELS = 16, 784

#: What the decoder's output parametrises, and data of that kind.
LIKELIHOODS: dict[str, tuple[Any, Any]] = {
    "Bernoulli": (lambda out: distributions.Bernoulli(logits=out), torch.bernoulli),
    "Normal": (lambda out: distributions.Normal(out, 1.0), None),
    "Laplace": (lambda out: distributions.Laplace(out, 1.0), None),
    "StudentT": (lambda out: distributions.StudentT(5.0, out, 1.0), None),
    "Poisson": (lambda out: distributions.Poisson(out.exp()), torch.poisson),
}


class Networks(nn.Module):
    """Encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(PIXELS, 256), nn.ReLU(), nn.Linear(256, 2 * LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, 256), nn.ReLU(), nn.Linear(256, PIXELS))


def vae(likelihood: str) -> Model:
    family, drawn = LIKELIHOODS[likelihood]
    x = torch.rand(128, PIXELS)
    x = x if drawn is None else drawn(x)

    def loss(networks: Any) -> Tensor:
        mu, logvar = networks.encoder(x).chunk(2, dim=-1)
        posterior = distributions.Independent(distributions.Normal(mu, torch.exp(0.5 * logvar)), 1)
        zeros, ones = torch.zeros_like(mu), torch.ones_like(mu)
        prior = distributions.Independent(distributions.Normal(zeros, ones), 1)
        px = distributions.Independent(family(networks.decoder(posterior.rsample())), 1)
        return (distributions.kl_divergence(posterior, prior) - px.log_prob(x)).mean()

    return Model(Networks(), loss)


if __name__ == "__main__":
    main(
        "torch", compat.distributions, {name: functools.partial(vae, name) for name in LIKELIHOODS}
    )
