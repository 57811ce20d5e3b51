"""Bernoulli, Gaussian and Laplace data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vaekern._ops import table
from vaekern._ops.call import Call, Clamp
from vaekern._ops.elementwise import Op
from vaekern.functional.bernoulli import bernoulli_call
from vaekern.functional.gaussian import gaussian_call, reparameterize
from vaekern.functional.locations import laplace_call
from vaekern.likelihoods._base import DecoderOutput, Likelihood, hold, single, spread


class BernoulliLikelihood(Likelihood):
    """Bernoulli pixels; the decoder emits logits. See :func:`vaekern.bernoulli_log_likelihood`."""

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        return bernoulli_call(single(decoder_output), x, batch_dims)

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int
    ) -> tuple[Op, tuple[Any, ...]] | None:
        if type(self) is not BernoulliLikelihood:
            return None
        return table.BERNOULLI, (decoder_output, x, None, batch_dims)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return torch.sigmoid(single(decoder_output))

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        return torch.bernoulli(self.mean(decoder_output), generator=generator)


class GaussianLikelihood(Likelihood):
    """Gaussian data. See :func:`vaekern.gaussian_log_likelihood`.

    The decoder emits the mean, or a tuple (mean, logvar); without the latter the module's own
    ``logvar`` is used.

    Args:
        logvar: the log-variance (see ``scale``) where the decoder gives none: a number, or a
            tensor that broadcasts as in :func:`vaekern.gaussian_log_likelihood`.
        learned: make ``logvar`` a parameter.
        scale: what log-variances are given as: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the log-variance.
        uint8_range: how a uint8 ``x`` is read: ``"unit"`` or ``"signed"``.
    """

    def __init__(
        self,
        logvar: Tensor | float = 0.0,
        *,
        learned: bool = False,
        scale: str = "logvar",
        logvar_clamp: Clamp | None = None,
        uint8_range: str = "unit",
    ) -> None:
        super().__init__()
        self.logvar: Tensor | float
        hold(self, "logvar", logvar, learned)
        self.scale = scale
        self.logvar_clamp = logvar_clamp
        self.uint8_range = uint8_range

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        mean, logvar = self._split(decoder_output)
        return gaussian_call(
            mean, x, logvar, self.scale, self.logvar_clamp, batch_dims, self.uint8_range
        )

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int
    ) -> tuple[Op, tuple[Any, ...]] | None:
        if type(self) is not GaussianLikelihood or self.logvar_clamp is not None:
            return None
        mean, logvar = decoder_output, self.logvar
        if type(mean) is tuple and len(mean) == 2:
            mean, logvar = mean
        return table.GAUSSIAN, (mean, logvar, x, None, batch_dims, self.scale, self.uint8_range)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return self._split(decoder_output)[0]

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        mean, logvar = self._split(decoder_output)
        return reparameterize(
            mean,
            spread(logvar, mean),
            generator=generator,
            scale=self.scale,
            logvar_clamp=self.logvar_clamp,
        )

    def _split(self, decoder_output: DecoderOutput) -> tuple[Tensor, Tensor | float]:
        if isinstance(decoder_output, Tensor):
            return decoder_output, self.logvar
        mean, logvar = decoder_output
        return mean, logvar


class LaplaceLikelihood(Likelihood):
    """Laplace data; the decoder emits the location. See :func:`vaekern.laplace_log_likelihood`.

    Args:
        log_scale: the logarithm of the scale: a number, or a tensor that broadcasts as ``logvar``
            does in :func:`vaekern.gaussian_log_likelihood`.
        learned: make ``log_scale`` a parameter.
        uint8_range: how a uint8 ``x`` is read: ``"unit"`` or ``"signed"``.
    """

    def __init__(
        self,
        log_scale: Tensor | float = 0.0,
        *,
        learned: bool = False,
        uint8_range: str = "unit",
    ) -> None:
        super().__init__()
        self.log_scale: Tensor | float
        hold(self, "log_scale", log_scale, learned)
        self.uint8_range = uint8_range

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        loc = single(decoder_output)
        return laplace_call(loc, x, self.log_scale, batch_dims, self.uint8_range)

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int
    ) -> tuple[Op, tuple[Any, ...]] | None:
        if type(self) is not LaplaceLikelihood:
            return None
        return table.LAPLACE, (
            decoder_output,
            self.log_scale,
            x,
            None,
            batch_dims,
            self.uint8_range,
        )

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return single(decoder_output)

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        loc = single(decoder_output)
        # The difference of two exponentials is Laplacian.
        ends = loc.new_empty((2, *loc.shape)).exponential_(generator=generator)
        return loc + torch.exp(spread(self.log_scale, loc)) * (ends[0] - ends[1])
