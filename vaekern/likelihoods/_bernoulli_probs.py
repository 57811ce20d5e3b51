"""Binary data of a decoder that ends in a sigmoid."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._modules.outputs import DecoderOutput, single
from vaekern._ops import table
from vaekern._ops.call import Call
from vaekern.functional.bernoulli import bernoulli_probs_call
from vaekern.functional.targets import WITHIN_UNIT, known_uint8_range
from vaekern.likelihoods._base import Likelihood, Unchecked
from vaekern.likelihoods._draws import wide

__all__ = ["BernoulliProbsLikelihood"]


class BernoulliProbsLikelihood(Likelihood):
    """Bernoulli pixels; the decoder emits probabilities. See
    :func:`vaekern.bernoulli_probs_log_likelihood`; one that can emit logits does better with
    :class:`vaekern.BernoulliLikelihood`.

    Args:
        uint8_range: how a uint8 ``x`` is read: ``"unit"`` or ``"binary"``.
    """

    name = "bernoulli_probs"

    def __init__(self, *, uint8_range: str = "unit") -> None:
        super().__init__()
        self.uint8_range = known_uint8_range(uint8_range, WITHIN_UNIT)

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        probs = single(decoder_output, "probabilities")
        return bernoulli_probs_call(probs, x, batch_dims, self.uint8_range)

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int, mask: Tensor | None
    ) -> Unchecked | None:
        if type(self) is not BernoulliProbsLikelihood:
            return None
        return table.BERNOULLI_PROBS, (decoder_output, x, mask, batch_dims, self.uint8_range)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return single(decoder_output, "probabilities")

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        probs = single(decoder_output, "probabilities")
        return torch.bernoulli(wide(probs), generator=generator).to(probs.dtype)
