"""Quantiles of data."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._checks import check_share
from vaekern._modules.outputs import DecoderOutput, unchecked_with_own, with_own
from vaekern._modules.state import hold
from vaekern._ops import table
from vaekern._ops.call import Call
from vaekern.functional.locations import asymmetric_laplace_call
from vaekern.functional.targets import known_uint8_range
from vaekern.likelihoods._base import Likelihood, Unchecked, spread
from vaekern.likelihoods._draws import away_from, stored, wide

__all__ = ["AsymmetricLaplaceLikelihood"]


class AsymmetricLaplaceLikelihood(Likelihood):
    """Data of which the decoder emits a quantile. See
    :func:`vaekern.asymmetric_laplace_log_likelihood`.

    The decoder emits the location, or a tuple (loc, log_scale); without the latter the module's own
    ``log_scale`` is used.

    Args:
        quantile: which one, a number between 0 and 1; by default the median.
        log_scale: the logarithm of the scale where the decoder gives none: a number, or a tensor
            that broadcasts as ``logvar`` does in :func:`vaekern.gaussian_log_likelihood`. A
            ``Parameter`` is trained with the module; another tensor is copied, to a buffer.
        learned: make a parameter of a copy of ``log_scale``.
        uint8_range: how a uint8 ``x`` is read: ``"unit"``, ``"signed"`` or ``"binary"``.

    Raises:
        ValueError: ``quantile`` is not between 0 and 1.
        TypeError: it is no number.
    """

    name = "asymmetric_laplace"

    def __init__(
        self,
        quantile: float = 0.5,
        log_scale: Tensor | float = 0.0,
        *,
        learned: bool = False,
        uint8_range: str = "unit",
    ) -> None:
        super().__init__()
        check_share("quantile", quantile)
        self.quantile = float(quantile)
        self.log_scale: Tensor | float
        hold(self, "log_scale", log_scale, learned)
        self.uint8_range = known_uint8_range(uint8_range)

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        loc, log_scale = self._split(decoder_output)
        return asymmetric_laplace_call(
            loc, x, log_scale, self.quantile, batch_dims, self.uint8_range
        )

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int, mask: Tensor | None
    ) -> Unchecked | None:
        if type(self) is not AsymmetricLaplaceLikelihood:
            return None
        parameters = unchecked_with_own(decoder_output, self.log_scale)
        attributes = batch_dims, self.quantile, self.uint8_range
        return table.ASYMMETRIC_LAPLACE, (*parameters, x, mask, *attributes)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        """loc + e^s (1 - 2 tau) / (tau (1 - tau)), which is not the quantile itself."""
        loc, log_scale = self._split(decoder_output)
        tau = self.quantile
        shift = torch.exp(spread(log_scale, loc)) * ((1.0 - 2.0 * tau) / (tau * (1.0 - tau)))
        return away_from(wide(loc), shift).to(loc.dtype)

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        loc, log_scale = self._split(decoder_output)
        # The difference of two exponentials, of the rates of either side.
        log_scale = spread(log_scale, loc)
        over, under = log_scale.new_empty((2, *loc.shape)).exponential_(generator=generator)
        deviation = over / self.quantile - under / (1.0 - self.quantile)
        return stored(away_from(loc, torch.exp(log_scale) * deviation), loc.dtype)

    def _split(self, decoder_output: DecoderOutput) -> tuple[Tensor, Tensor | float]:
        return with_own(decoder_output, "loc", "log_scale", self.log_scale)
