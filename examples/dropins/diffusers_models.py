"""diffusers' autoencoders, trained as those of latent diffusion are, without the discriminator.

pip install diffusers
python examples/dropins/diffusers_models.py
"""

from __future__ import annotations

from typing import Any

import torch
from comparison import Model, main
from torch import Tensor

from vaekern.compat import patch_diffusers

KL_WEIGHT = 1e-6


def of_images() -> Model:
    from diffusers import AutoencoderKL

    return trained(
        AutoencoderKL(block_out_channels=(16,), norm_num_groups=4), torch.rand(8, 3, 32, 32)
    )


def of_sounds() -> Model:
    from diffusers import AutoencoderOobleck

    module = AutoencoderOobleck(
        encoder_hidden_size=12,
        downsampling_ratios=[2, 4],
        decoder_channels=12,
        decoder_input_channels=6,
        audio_channels=1,
        channel_multiples=[1, 2],
    )
    return trained(module, torch.rand(4, 1, 512))


def trained(module: Any, data: Tensor) -> Model:
    def loss(module: Any) -> Tensor:
        posterior = module.encode(data).latent_dist
        reconstruction = module.decode(posterior.sample()).sample
        return (data - reconstruction).square().mean() + KL_WEIGHT * posterior.kl().mean()

    return Model(module.train(), loss)


if __name__ == "__main__":
    main(
        "diffusers",
        patch_diffusers,
        {"AutoencoderKL": of_images, "AutoencoderOobleck": of_sounds},
    )
