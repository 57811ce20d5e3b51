"""Bernoulli, Gaussian and Laplace data."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._checks import check_scale
from vaekern._modules.outputs import DecoderOutput, single, unchecked_with_own, with_own
from vaekern._modules.state import hold
from vaekern._ops import table
from vaekern._ops.call import Call, Clamp, known_clamp
from vaekern.functional.bernoulli import bernoulli_call
from vaekern.functional.gaussian import gaussian_call, reparameterize
from vaekern.functional.locations import laplace_call
from vaekern.functional.targets import WITHIN_UNIT, known_uint8_range
from vaekern.likelihoods._base import Likelihood, Unchecked, spread
from vaekern.likelihoods._draws import away_from, stored, wide

__all__ = ["BernoulliLikelihood", "GaussianLikelihood", "LaplaceLikelihood"]


class BernoulliLikelihood(Likelihood):
    """Bernoulli pixels; the decoder emits logits. See :func:`vaekern.bernoulli_log_likelihood`.

    Args:
        uint8_range: how a uint8 ``x`` is read: ``"unit"`` or ``"binary"``.
    """

    name = "bernoulli"

    def __init__(self, *, uint8_range: str = "unit") -> None:
        super().__init__()
        self.uint8_range = known_uint8_range(uint8_range, WITHIN_UNIT)

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        return bernoulli_call(single(decoder_output), x, batch_dims, self.uint8_range)

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int, mask: Tensor | None
    ) -> Unchecked | None:
        if type(self) is not BernoulliLikelihood:
            return None
        return table.BERNOULLI, (decoder_output, x, mask, batch_dims, self.uint8_range)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return torch.sigmoid(single(decoder_output))

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        logits = single(decoder_output)
        share = torch.sigmoid(wide(logits))
        return torch.bernoulli(share, generator=generator).to(logits.dtype)


class GaussianLikelihood(Likelihood):
    """Gaussian data. See :func:`vaekern.gaussian_log_likelihood`.

    The decoder emits the mean, or a tuple (mean, logvar); without the latter the module's own
    ``logvar`` is used.

    Args:
        logvar: the log-variance (see ``scale``) where the decoder gives none: a number, or a
            tensor that broadcasts as in :func:`vaekern.gaussian_log_likelihood`. A ``Parameter`` is
            trained with the module; another tensor is copied, to a buffer.
        learned: make a parameter of a copy of ``logvar``.
        scale: what log-variances are given as: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the log-variance.
        uint8_range: how a uint8 ``x`` is read: ``"unit"``, ``"signed"`` or ``"binary"``.
    """

    name = "gaussian"

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
        check_scale(scale)
        self.logvar: Tensor | float
        hold(self, "logvar", logvar, learned)
        if scale == "std" and not isinstance(logvar, Tensor) and not logvar >= 0:
            raise ValueError(f"logvar: expected a deviation, 0 or more, got {logvar}")
        self.scale = scale
        self.logvar_clamp = known_clamp(logvar_clamp)
        self.uint8_range = known_uint8_range(uint8_range)

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        mean, logvar = self._split(decoder_output)
        return gaussian_call(
            mean, x, logvar, self.scale, self.logvar_clamp, batch_dims, self.uint8_range
        )

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int, mask: Tensor | None
    ) -> Unchecked | None:
        if type(self) is not GaussianLikelihood or self.logvar_clamp is not None:
            return None
        mean, logvar = unchecked_with_own(decoder_output, self.logvar)
        return table.GAUSSIAN, (mean, logvar, x, mask, batch_dims, self.scale, self.uint8_range)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return self._split(decoder_output)[0]

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        mean, logvar = self._split(decoder_output)
        sample = reparameterize(
            mean,
            spread(logvar, mean),
            generator=generator,
            scale=self.scale,
            logvar_clamp=self.logvar_clamp,
        )
        return stored(torch.where(mean.isinf(), mean, sample), mean.dtype)

    def _split(self, decoder_output: DecoderOutput) -> tuple[Tensor, Tensor | float]:
        return with_own(decoder_output, "mean", self.scale, self.logvar)


class LaplaceLikelihood(Likelihood):
    """Laplace data. See :func:`vaekern.laplace_log_likelihood`.

    The decoder emits the location, or a tuple (loc, log_scale); without the latter the module's own
    ``log_scale`` is used.

    Args:
        log_scale: the logarithm of the scale where the decoder gives none: a number, or a tensor
            that broadcasts as ``logvar`` does in :func:`vaekern.gaussian_log_likelihood`. A
            ``Parameter`` is trained with the module; another tensor is copied, to a buffer.
        learned: make a parameter of a copy of ``log_scale``.
        uint8_range: how a uint8 ``x`` is read: ``"unit"``, ``"signed"`` or ``"binary"``.
    """

    name = "laplace"

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
        self.uint8_range = known_uint8_range(uint8_range)

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        loc, log_scale = self._split(decoder_output)
        return laplace_call(loc, x, log_scale, batch_dims, self.uint8_range)

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int, mask: Tensor | None
    ) -> Unchecked | None:
        if type(self) is not LaplaceLikelihood:
            return None
        loc, log_scale = unchecked_with_own(decoder_output, self.log_scale)
        return table.LAPLACE, (loc, log_scale, x, mask, batch_dims, self.uint8_range)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        return self._split(decoder_output)[0]

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        loc, log_scale = self._split(decoder_output)
        # The difference of two exponentials is Laplacian.
        log_scale = spread(log_scale, loc)
        ends = log_scale.new_empty((2, *loc.shape)).exponential_(generator=generator)
        deviation = torch.exp(log_scale) * (ends[0] - ends[1])
        return stored(away_from(loc, deviation), loc.dtype)

    def _split(self, decoder_output: DecoderOutput) -> tuple[Tensor, Tensor | float]:
        return with_own(decoder_output, "loc", "log_scale", self.log_scale)
