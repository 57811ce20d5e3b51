"""Classes, and counts of them."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._checks import check_count
from vaekern._modules.outputs import DecoderOutput, single
from vaekern._ops.call import Call
from vaekern.functional.classes import (
    categorical_call,
    multinomial_call,
    multinomial_log_likelihood,
)
from vaekern.likelihoods._base import Likelihood
from vaekern.likelihoods._draws import stored, wide

__all__ = ["CategoricalLikelihood", "MultinomialLikelihood"]


class CategoricalLikelihood(Likelihood):
    """Classes; the decoder emits their logits, in one dimension more than the data have. See
    :func:`vaekern.categorical_log_likelihood`. Probabilities take the place of the mean."""

    name = "categorical"

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        return categorical_call(single(decoder_output), x, batch_dims)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        logits = single(decoder_output)
        return torch.softmax(wide(logits), -1).to(logits.dtype)

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        logits = single(decoder_output)
        return _draw_classes(logits, 1, generator).reshape(logits.shape[:-1])


class MultinomialLikelihood(Likelihood):
    """Counts of classes; the decoder emits logits. See :func:`vaekern.multinomial_log_likelihood`.

    Args:
        total: how many draws :meth:`mean` and :meth:`sample` stand for.
        coefficient: whether the log-likelihood includes the multinomial coefficient.
    """

    name = "multinomial"

    def __init__(self, total: int = 1, *, coefficient: bool = True) -> None:
        super().__init__()
        self.total = check_count("total", total, 0)
        self.coefficient = coefficient

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call | None:
        if self.coefficient:
            return None
        return multinomial_call(single(decoder_output), x, batch_dims)

    def log_prob(self, decoder_output: DecoderOutput, x: Tensor, *, batch_dims: int = 1) -> Tensor:
        return multinomial_log_likelihood(
            single(decoder_output), x, coefficient=self.coefficient, batch_dims=batch_dims
        )

    def masked_log_prob(
        self, decoder_output: DecoderOutput, x: Tensor, mask: Tensor, *, batch_dims: int = 1
    ) -> Tensor:
        return multinomial_log_likelihood(
            single(decoder_output),
            x,
            coefficient=self.coefficient,
            mask=mask,
            batch_dims=batch_dims,
        )

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        logits = single(decoder_output)
        return (self.total * torch.softmax(wide(logits), -1)).to(logits.dtype)

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        logits = single(decoder_output)
        drawn = _draw_classes(logits, self.total, generator)
        counts = torch.zeros_like(logits, dtype=torch.int64).reshape(-1, logits.shape[-1])
        counts.scatter_add_(1, drawn, torch.ones_like(drawn))
        return stored(counts.reshape(logits.shape).double(), logits.dtype)


def _draw_classes(logits: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """n of them for each row of logits: [rows, n]."""
    p = torch.softmax(wide(logits), -1).reshape(-1, logits.shape[-1])
    return torch.multinomial(p, n, replacement=True, generator=generator)
