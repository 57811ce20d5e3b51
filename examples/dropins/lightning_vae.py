"""A VAE on scikit-learn's 8x8 digits, trained by Lightning.

pip install pytorch-lightning scikit-learn
python examples/dropins/lightning_vae.py --epochs 20
"""

from __future__ import annotations

import argparse

import pytorch_lightning as lightning
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader

import vaekern as vk


class Autoencoder(lightning.LightningModule):
    def __init__(self, latent: int = 8, beta: float = 1.0) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, 128), nn.ReLU(), nn.Linear(128, 64))
        self.beta = beta

    def on_fit_start(self) -> None:
        # Ranks start with one seed, and must not share noise.
        torch.manual_seed(torch.initial_seed() + self.global_rank)

    def training_step(self, x: Tensor) -> Tensor:
        mu, logvar = self.encoder(x).chunk(2, dim=-1)
        z = vk.reparameterize(mu, logvar)
        loss = vk.elbo_loss(self.decoder(z), x, mu, logvar, beta=self.beta)
        self.log("loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--cpu", action="store_true", help="even where there is a GPU")
    arguments = parser.parse_args()

    lightning.seed_everything(0)
    digits = torch.from_numpy(load_digits().data).float() / 16  # in [0, 1]
    trainer = lightning.Trainer(
        accelerator="cpu" if arguments.cpu else "auto",
        max_epochs=arguments.epochs,
        logger=False,
        enable_checkpointing=False,
    )
    trainer.fit(Autoencoder(), DataLoader(digits, batch_size=64, shuffle=True))
    print(f"loss {trainer.callback_metrics['loss']:.3f} nats")


if __name__ == "__main__":
    main()
