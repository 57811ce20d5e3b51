"""A variational autoencoder around networks of your own."""

from vaekern.vae.model import VAE
from vaekern.vae.output import VAEOutput

__all__ = ["VAE", "VAEOutput"]
