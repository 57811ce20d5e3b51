"""Counts."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._ops.call import Call
from vaekern._torch import standard_gamma
from vaekern.functional.counts import negative_binomial_call, poisson_call, zero_inflated_call
from vaekern.likelihoods._base import DecoderOutput, Likelihood, hold, single, spread


class PoissonLikelihood(Likelihood):
    """Poisson counts; the decoder emits log-rates. See :func:`vaekern.poisson_log_likelihood`."""

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        return poisson_call(single(decoder_output), x, batch_dims)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return single(decoder_output).exp()

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        return torch.poisson(self.mean(decoder_output), generator=generator)


class NegativeBinomialLikelihood(Likelihood):
    """Negative binomial counts. See :func:`vaekern.negative_binomial_log_likelihood`.

    The decoder emits log-means, or a tuple (log_mean, log_dispersion); without the latter the
    module's own ``log_dispersion`` is used.

    Args:
        log_dispersion: log θ where the decoder gives none: a number, or a tensor that broadcasts as
            in :func:`vaekern.negative_binomial_log_likelihood`.
        learned: make ``log_dispersion`` a parameter.
    """

    def __init__(self, log_dispersion: Tensor | float = 0.0, *, learned: bool = False) -> None:
        super().__init__()
        self.log_dispersion: Tensor | float
        hold(self, "log_dispersion", log_dispersion, learned)

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        log_mean, log_dispersion = self._split(decoder_output)
        return negative_binomial_call(log_mean, x, log_dispersion, batch_dims)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return self._split(decoder_output)[0].exp()

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        log_mean, log_dispersion = self._split(decoder_output)
        return _negative_binomial_sample(log_mean, log_dispersion, generator)

    def _split(self, decoder_output: DecoderOutput) -> tuple[Tensor, Tensor | float]:
        if isinstance(decoder_output, Tensor):
            return decoder_output, self.log_dispersion
        log_mean, log_dispersion = decoder_output
        return log_mean, log_dispersion


class ZeroInflatedNegativeBinomialLikelihood(Likelihood):
    """Counts with additional zeros; the decoder emits a tuple (log_mean, zero_logits). See
    :func:`vaekern.zero_inflated_negative_binomial_log_likelihood`.

    Args:
        log_dispersion, learned: those of :class:`NegativeBinomialLikelihood`.
    """

    def __init__(self, log_dispersion: Tensor | float = 0.0, *, learned: bool = False) -> None:
        super().__init__()
        self.log_dispersion: Tensor | float
        hold(self, "log_dispersion", log_dispersion, learned)

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        log_mean, zero_logits = decoder_output
        return zero_inflated_call(log_mean, x, self.log_dispersion, zero_logits, batch_dims)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        log_mean, zero_logits = decoder_output
        return log_mean.exp() * torch.sigmoid(-zero_logits)

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        log_mean, zero_logits = decoder_output
        counts = _negative_binomial_sample(log_mean, self.log_dispersion, generator)
        return counts * torch.bernoulli(torch.sigmoid(-zero_logits), generator=generator)


def _negative_binomial_sample(
    log_mean: Tensor, log_dispersion: Tensor | float, generator: torch.Generator | None
) -> Tensor:
    """Poisson counts whose rates are Gamma variables of mean e^log_mean."""
    theta = spread(log_dispersion, log_mean).exp()
    gamma = standard_gamma(theta, generator=generator)
    return torch.poisson(log_mean.exp() * gamma / theta, generator=generator)
