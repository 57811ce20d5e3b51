"""Intensities in [0, 1] with a normalised density."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._modules.outputs import DecoderOutput, single
from vaekern._ops import table
from vaekern._ops.call import Call
from vaekern.functional.bernoulli import bernoulli_call
from vaekern.functional.targets import WITHIN_UNIT, known_uint8_range
from vaekern.likelihoods._base import Likelihood, Unchecked
from vaekern.likelihoods._draws import wide

__all__ = ["ContinuousBernoulliLikelihood"]


class ContinuousBernoulliLikelihood(Likelihood):
    """Intensities in [0, 1]; the decoder emits logits. See
    :func:`vaekern.continuous_bernoulli_log_likelihood`.

    Args:
        uint8_range: how a uint8 ``x`` is read: ``"unit"`` or ``"binary"``.
    """

    name = "continuous_bernoulli"

    def __init__(self, *, uint8_range: str = "unit") -> None:
        super().__init__()
        self.uint8_range = known_uint8_range(uint8_range, WITHIN_UNIT)

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        op = table.CONTINUOUS_BERNOULLI
        return bernoulli_call(single(decoder_output), x, batch_dims, self.uint8_range, op)

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int, mask: Tensor | None
    ) -> Unchecked | None:
        if type(self) is not ContinuousBernoulliLikelihood:
            return None
        return table.CONTINUOUS_BERNOULLI, (decoder_output, x, mask, batch_dims, self.uint8_range)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        """coth(l / 2) / 2 - 1 / l + 1 / 2, which is not the sigmoid of l."""
        logits = wide(single(decoder_output))
        near = logits.abs() < 0.25
        away = torch.where(near, 1.0, logits)
        close = torch.where(near, logits, 0.0)
        square = close * close
        series = 1.0 / 30240.0 + square * (-1.0 / 1209600.0 + square / 47900160.0)
        series = 1.0 / 12.0 + square * (-1.0 / 720.0 + square * series)
        shift = torch.where(near, close * series, 0.5 / torch.tanh(0.5 * away) - 1.0 / away)
        return (0.5 + shift).to(single(decoder_output).dtype)

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        logits = wide(single(decoder_output))
        u = torch.empty_like(logits).uniform_(generator=generator)
        # The inverse of the distribution function for -|l|, which cannot overflow.
        down = -logits.abs()
        from_below = torch.log1p(u * torch.expm1(down)) / down
        from_below = torch.where(down == 0.0, u, from_below)
        sample = torch.where(logits > 0.0, 1.0 - from_below, from_below)
        return sample.to(single(decoder_output).dtype)
