"""A VAE on scikit-learn's 8x8 digits, trained by the Trainer of Hugging Face Transformers.

pip install accelerate scikit-learn transformers
python examples/dropins/trainer_vae.py --epochs 20 --bf16
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

import vaekern as vk


class Encoder(nn.Sequential):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return super().forward(x).chunk(2, dim=-1)  # mu, logvar


class Autoencoder(vk.VAE):
    def __init__(self, latent: int = 8) -> None:
        encoder = Encoder(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 2 * latent))
        decoder = nn.Sequential(nn.Linear(latent, 128), nn.ReLU(), nn.Linear(128, 64))
        super().__init__(encoder, decoder, likelihood="bernoulli")

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """The trainer minimises what is called ``loss``."""
        out = super().forward(x)
        return {"loss": out.loss, "mu": out.mu, "logvar": out.logvar}


class NoiseOfItsOwn(TrainerCallback):
    """Ranks start with one seed, and must not share noise."""

    def on_train_begin(self, args: TrainingArguments, *_: Any, **__: Any) -> None:
        set_seed(args.seed + args.process_index)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--bf16", action="store_true", help="mixed precision")
    parser.add_argument("--cpu", action="store_true", help="even where there is a GPU")
    arguments = parser.parse_args()

    digits = torch.from_numpy(load_digits().data).float() / 16  # in [0, 1]
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            Autoencoder(),
            TrainingArguments(
                output_dir=folder,
                num_train_epochs=arguments.epochs,
                per_device_train_batch_size=64,
                learning_rate=1e-3,
                lr_scheduler_type="constant",
                bf16=arguments.bf16,
                use_cpu=arguments.cpu,
                logging_strategy="epoch",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=[{"x": x} for x in digits],
            callbacks=[NoiseOfItsOwn()],
        )
        trainer.train()
    epochs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    print(f"loss {epochs[-1]:.3f} nats")


if __name__ == "__main__":
    main()
