"""A variational autoencoder in Pyro, under its estimators of the ELBO.

pip install pyro-ppl
python examples/dropins/pyro_models.py
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from comparison import Model, main
from torch import Tensor, nn

from vaekern.compat import distributions

LATENT, PIXELS = 16, 784


class Networks(nn.Module):
    """Encoder and decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(PIXELS, 256), nn.ReLU(), nn.Linear(256, 2 * LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, 256), nn.ReLU(), nn.Linear(256, PIXELS))


def pyro(estimator: str) -> Model:
    import pyro
    from pyro import distributions as dist

    x = torch.bernoulli(torch.rand(128, PIXELS))
    elbo = getattr(pyro.infer, estimator)()

    def loss(networks: Any) -> Tensor:
        def model() -> None:
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.Normal(x.new_zeros(len(x), LATENT), 1.0).to_event(1))
                logits = networks.decoder(z)
                pyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

        def guide() -> None:
            with pyro.plate("data", len(x)):
                mu, logvar = networks.encoder(x).chunk(2, dim=-1)
                pyro.sample("z", dist.Normal(mu, torch.exp(0.5 * logvar)).to_event(1))

        return elbo.differentiable_loss(model, guide)

    return Model(Networks(), loss)


if __name__ == "__main__":
    main(
        "pyro-ppl",
        distributions,
        {name: functools.partial(pyro, name) for name in ("Trace_ELBO", "TraceMeanField_ELBO")},
    )
