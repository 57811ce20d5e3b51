"""Counts."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from vaekern._modules.outputs import DecoderOutput, pair, single, unchecked_with_own, with_own
from vaekern._modules.state import hold
from vaekern._ops import table
from vaekern._ops.call import Call
from vaekern.functional.counts import negative_binomial_call, poisson_call, zero_inflated_call
from vaekern.likelihoods._base import Likelihood, Unchecked, spread
from vaekern.likelihoods._draws import negative_binomial_counts, poisson_counts, stored, wide

__all__ = [
    "NegativeBinomialLikelihood",
    "PoissonLikelihood",
    "ZeroInflatedNegativeBinomialLikelihood",
]


class PoissonLikelihood(Likelihood):
    """Poisson counts; the decoder emits log-rates. See :func:`vaekern.poisson_log_likelihood`."""

    name = "poisson"

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        return poisson_call(single(decoder_output, "log-rates"), x, batch_dims)

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int, mask: Tensor | None
    ) -> Unchecked | None:
        if type(self) is not PoissonLikelihood:
            return None
        return table.POISSON, (decoder_output, x, mask, batch_dims)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return single(decoder_output, "log-rates").exp()

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        log_rate = single(decoder_output, "log-rates")
        return stored(poisson_counts(wide(log_rate).exp(), generator), log_rate.dtype)


class NegativeBinomialLikelihood(Likelihood):
    """Negative binomial counts. See :func:`vaekern.negative_binomial_log_likelihood`.

    The decoder emits log-means, or a tuple (log_mean, log_dispersion); without the latter the
    module's own ``log_dispersion`` is used.

    Args:
        log_dispersion: log θ where the decoder gives none: a number, or a tensor that broadcasts as
            in :func:`vaekern.negative_binomial_log_likelihood`. A ``Parameter`` is trained with the
            module; another tensor is copied, to a buffer.
        learned: make a parameter of a copy of ``log_dispersion``.
    """

    name = "negative_binomial"

    def __init__(self, log_dispersion: Tensor | float = 0.0, *, learned: bool = False) -> None:
        super().__init__()
        self.log_dispersion: Tensor | float
        hold(self, "log_dispersion", log_dispersion, learned)

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        log_mean, log_dispersion = self._split(decoder_output)
        return negative_binomial_call(log_mean, x, log_dispersion, batch_dims)

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int, mask: Tensor | None
    ) -> Unchecked | None:
        if type(self) is not NegativeBinomialLikelihood:
            return None
        parameters = unchecked_with_own(decoder_output, self.log_dispersion)
        return table.NEGATIVE_BINOMIAL, (*parameters, x, mask, batch_dims)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return self._split(decoder_output)[0].exp()

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        log_mean, log_dispersion = self._split(decoder_output)
        counts = negative_binomial_counts(log_mean, spread(log_dispersion, log_mean), generator)
        return stored(counts, log_mean.dtype)

    def _split(self, decoder_output: DecoderOutput) -> tuple[Tensor, Tensor | float]:
        return with_own(decoder_output, "log_mean", "log_dispersion", self.log_dispersion)


class ZeroInflatedNegativeBinomialLikelihood(Likelihood):
    """Counts with additional zeros; the decoder emits a tuple (log_mean, zero_logits). See
    :func:`vaekern.zero_inflated_negative_binomial_log_likelihood`.

    Args:
        log_dispersion, learned: those of :class:`NegativeBinomialLikelihood`.
    """

    name = "zero_inflated_negative_binomial"

    def __init__(self, log_dispersion: Tensor | float = 0.0, *, learned: bool = False) -> None:
        super().__init__()
        self.log_dispersion: Tensor | float
        hold(self, "log_dispersion", log_dispersion, learned)

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        log_mean, zero_logits = pair(decoder_output, "log_mean", "zero_logits")
        return zero_inflated_call(log_mean, x, self.log_dispersion, zero_logits, batch_dims)

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int, mask: Tensor | None
    ) -> Unchecked | None:
        if type(self) is not ZeroInflatedNegativeBinomialLikelihood:
            return None
        log_mean, zero_logits = unchecked_with_own(decoder_output, None)
        parameters = log_mean, self.log_dispersion, zero_logits
        return table.ZERO_INFLATED_NEGATIVE_BINOMIAL, (*parameters, x, mask, batch_dims)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        log_mean, zero_logits = pair(decoder_output, "log_mean", "zero_logits")
        log_share = logsigmoid(-spread(zero_logits, log_mean))
        return torch.exp(wide(log_mean) + log_share).to(log_mean.dtype)

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        log_mean, zero_logits = pair(decoder_output, "log_mean", "zero_logits")
        log_dispersion = spread(self.log_dispersion, log_mean)
        counts = negative_binomial_counts(log_mean, log_dispersion, generator)
        share = torch.sigmoid(-spread(zero_logits, log_mean))
        return stored(counts * torch.bernoulli(share, generator=generator), log_mean.dtype)
