"""Modules for images of 256 levels: the discretized logistic likelihood and its mixtures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import LEAST_LOG_SCALE, PLANES, conditional_means
from vaekern._modules.outputs import DecoderOutput, single, unchecked_with_own, with_own
from vaekern._modules.state import hold
from vaekern._ops import table
from vaekern._ops.call import Call
from vaekern.functional.images import (
    discretized_logistic_call,
    logistic_mixture_log_likelihood,
)
from vaekern.likelihoods._base import Likelihood, Unchecked, spread
from vaekern.likelihoods._draws import wide

__all__ = ["DiscretizedLogisticLikelihood", "LogisticMixtureLikelihood"]

#: Beyond them the distribution is a point, or nothing within [-1, 1] is left of it.
_LEAST_SCALE, _LARGEST_SCALE = 1e-12, 1e30


class DiscretizedLogisticLikelihood(Likelihood):
    """Images of 256 levels. See :func:`vaekern.discretized_logistic_log_likelihood`.

    The decoder emits the location, or a tuple (loc, log_scale); without the latter the module's own
    ``log_scale`` is used. Means and samples are levels rescaled to [-1, 1].

    Args:
        log_scale: the logarithm of the scale where the decoder gives none: a number, or a tensor
            that broadcasts as ``logvar`` does in :func:`vaekern.gaussian_log_likelihood`. A
            ``Parameter`` is trained with the module; another tensor is copied, to a buffer.
        learned: make a parameter of a copy of ``log_scale``.
    """

    name = "discretized_logistic"

    def __init__(self, log_scale: Tensor | float = 0.0, *, learned: bool = False) -> None:
        super().__init__()
        self.log_scale: Tensor | float
        hold(self, "log_scale", log_scale, learned)

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        loc, log_scale = self._split(decoder_output)
        return discretized_logistic_call(loc, x, log_scale, batch_dims)

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int, mask: Tensor | None
    ) -> Unchecked | None:
        if type(self) is not DiscretizedLogisticLikelihood:
            return None
        parameters = unchecked_with_own(decoder_output, self.log_scale)
        return table.DISCRETIZED_LOGISTIC, (*parameters, x, mask, batch_dims)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        """Of the distribution before it is rounded to levels."""
        loc, log_scale = self._split(decoder_output)
        return mean_within(wide(loc), torch.exp(spread(log_scale, loc))).to(loc.dtype)

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        loc, log_scale = self._split(decoder_output)
        scale = torch.exp(spread(log_scale, loc))
        return sample_levels(wide(loc), scale, generator).to(loc.dtype)

    def _split(self, decoder_output: DecoderOutput) -> tuple[Tensor, Tensor | float]:
        return with_own(decoder_output, "loc", "log_scale", self.log_scale)


class LogisticMixtureLikelihood(Likelihood):
    """Colour images of 256 levels; the decoder emits the parameters of a mixture for each pixel,
    [B, 10 K, *pixels]. See :func:`vaekern.logistic_mixture_log_likelihood`. Means and samples are
    levels rescaled to [-1, 1], [B, 3, *pixels]."""

    name = "logistic_mixture"

    def log_prob(self, decoder_output: DecoderOutput, x: Tensor, *, batch_dims: int = 1) -> Tensor:
        return logistic_mixture_log_likelihood(
            single(decoder_output, "mixture parameters"), x, batch_dims=batch_dims
        )

    def masked_log_prob(
        self, decoder_output: DecoderOutput, x: Tensor, mask: Tensor, *, batch_dims: int = 1
    ) -> Tensor:
        params = single(decoder_output, "mixture parameters")
        return logistic_mixture_log_likelihood(params, x, mask=mask, batch_dims=batch_dims)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        """Of the distribution before it is rounded to levels. Where a component's green or blue
        reaches beyond [-1, 1], to the first order: at the means of the colours before it."""
        planes = _components(decoder_output)
        means: list[Tensor] = []
        for c in range(3):
            means.append(mean_within(*_located(planes, c, means)))
        weights = planes[:, 0].softmax(1)
        return torch.stack([(weights * mean).sum(1) for mean in means], dim=1)

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        planes = _components(decoder_output)
        # The first of K exponential variables with rates e^logit is number k with its weight.
        waiting = torch.empty_like(planes[:, 0]).exponential_(generator=generator)
        chosen = (planes[:, 0] - waiting.log()).argmax(1, keepdim=True)
        chosen = chosen.unsqueeze(1).expand(-1, PLANES, *[-1] * (chosen.dim() - 1))
        planes = planes.gather(2, chosen)
        colours: list[Tensor] = []
        for c in range(3):
            colours.append(sample_levels(*_located(planes, c, colours), generator))
        return torch.cat(colours, dim=1)


def _components(decoder_output: DecoderOutput) -> Tensor:
    """[B, 10, K, *pixels], at least in float32."""
    params = single(decoder_output, "mixture parameters")
    return params.to(accumulation_dtype((params,))).unflatten(1, (PLANES, -1))


def _located(planes: Tensor, colour: int, before: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Means and scales of a colour's components, given the colours before it."""
    parameters = planes[:, 1:].unbind(1)
    known = [*before, *[torch.zeros_like(parameters[0])] * (2 - len(before))]
    mean = conditional_means(parameters, known)[colour]
    return mean, parameters[3 * colour + 1].clamp(min=LEAST_LOG_SCALE).exp()


def mean_within(loc: Tensor, scale: Tensor) -> Tensor:
    """The mean of a logistic variable of which what is outside [-1, 1] was moved to the nearer end:
    -1 plus the integral of P(x > t)."""
    scale = scale.clamp(_LEAST_SCALE, _LARGEST_SCALE)
    upper, lower = (loc + 1.0) / scale, (loc - 1.0) / scale
    narrow = scale < 1.0
    # Of a narrow one what differs from the nearer end of loc: nothing of that is lost. At the ends
    # loc counts as inside, and the magnitudes have the derivatives that go with that.
    nearest = torch.where(loc < -1.0, -1.0, torch.where(loc > 1.0, 1.0, loc))
    beyond = torch.where(upper >= 0, upper, -upper), torch.where(lower > 0, lower, -lower)
    tails = torch.log1p(torch.exp(-beyond[0])) - torch.log1p(torch.exp(-beyond[1]))
    # Of a wide one the integral in one piece.
    step = torch.sigmoid(lower) * torch.expm1(torch.where(narrow, 0.0, 2.0 / scale))
    held = torch.where(narrow, 0.0, scale)
    mean = torch.where(narrow, nearest + scale * tails, held * torch.log1p(step) - 1.0)
    return mean.clamp(-1.0, 1.0)


def sample_levels(loc: Tensor, scale: Tensor, generator: torch.Generator | None) -> Tensor:
    """A logistic variable, rounded to the nearest level within [-1, 1]."""
    # The difference of the logarithms of two exponential variables is logistic.
    scale = scale.clamp(max=_LARGEST_SCALE)
    ends = scale.new_empty((2, *loc.shape)).exponential_(generator=generator).log()
    levels = (127.5 * (loc + scale * (ends[0] - ends[1]) + 1.0)).round().clamp(0.0, 255.0)
    return levels / 127.5 - 1.0
