"""What a pass through a VAE gives."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from vaekern._torch import register_pytree
from vaekern.likelihoods import DecoderOutput
from vaekern.posteriors import DiagonalGaussian, Posterior


@dataclass
class VAEOutput:
    """What one pass computes. Values are per datapoint, in nats; ``loss`` is their mean.

    torch takes it apart and together again as it does a tuple (a pytree): it may come out of
    ``torch.export``, ``torch.func.vmap`` and ``DistributedDataParallel``.
    """

    loss: Tensor
    log_likelihood: Tensor
    kl: Tensor
    z: Tensor
    posterior: Posterior
    decoder_output: DecoderOutput

    @property
    def mu(self) -> Tensor:
        """The means that the encoder gave, where ``posterior`` is a DiagonalGaussian."""
        return as_diagonal(self.posterior, "mu").mu

    @property
    def logvar(self) -> Tensor:
        """What the encoder gave beside them, where ``posterior`` is a DiagonalGaussian."""
        return as_diagonal(self.posterior, "logvar").logvar

    @property
    def elbo(self) -> Tensor:
        """The evidence lower bound of each datapoint (with beta = 1)."""
        return self.log_likelihood - self.kl


def as_diagonal(posterior: Posterior, name: str) -> DiagonalGaussian:
    if not isinstance(posterior, DiagonalGaussian):
        raise AttributeError(
            f"{name}: expected a DiagonalGaussian posterior, got {type(posterior).__name__}"
        )
    return posterior


_NAMES = tuple(field.name for field in fields(VAEOutput))


def _flatten(output: VAEOutput) -> tuple[list[Any], None]:
    return [getattr(output, name) for name in _NAMES], None


register_pytree(
    VAEOutput,
    _flatten,
    lambda values, _: VAEOutput(*values),
    name="vaekern.VAEOutput",
    keys=lambda _: _NAMES,
)
