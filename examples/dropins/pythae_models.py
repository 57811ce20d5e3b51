"""pythae's models with its own networks, on images of MNIST's size.

pip install pythae
python examples/dropins/pythae_models.py
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from comparison import Model, main
from torch import Tensor

from vaekern.compat import patch_pythae

OPTIONS: dict[str, dict[str, Any]] = {
    "VAE": {},
    "BetaVAE": {"beta": 4.0},
    "IWAE": {"number_samples": 5},
    "MIWAE": {"number_gradient_estimates": 2, "number_samples": 4},
    "PIWAE": {"number_gradient_estimates": 2, "number_samples": 4},
    "CIWAE": {"number_samples": 5, "beta": 0.5},
    "VAMP": {"number_components": 50},
}


def pythae(kind: str, reconstruction_loss: str) -> Model:
    from pythae import models

    config = getattr(models, f"{kind}Config")(
        input_dim=(1, 28, 28),
        latent_dim=16,
        reconstruction_loss=reconstruction_loss,
        **OPTIONS[kind],
    )
    images = torch.rand(128, 1, 28, 28)

    def loss(module: Any) -> Tensor:
        return module({"data": images}, epoch=1).loss

    return Model(getattr(models, kind)(config), loss)


if __name__ == "__main__":
    main(
        "pythae",
        patch_pythae,
        {
            f"{kind} {reconstruction_loss}": functools.partial(pythae, kind, reconstruction_loss)
            for kind in OPTIONS
            for reconstruction_loss in ("mse", "bce")
        },
    )
