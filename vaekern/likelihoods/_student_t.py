"""Data with heavy tails."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._modules.outputs import DecoderOutput, unchecked_with_own, with_own
from vaekern._modules.state import hold
from vaekern._ops import table
from vaekern._ops.call import Call
from vaekern._torch import standard_gamma
from vaekern.functional.locations import student_t_call
from vaekern.functional.targets import known_uint8_range
from vaekern.likelihoods._base import Likelihood, Unchecked, spread
from vaekern.likelihoods._draws import away_from, stored, wide

__all__ = ["StudentTLikelihood"]


class StudentTLikelihood(Likelihood):
    """Data with Student's t. See :func:`vaekern.student_t_log_likelihood`.

    The decoder emits the location, or a tuple (loc, log_scale); without the latter the module's own
    ``log_scale`` is used.

    Args:
        df: degrees of freedom, positive (not checked): a number, or a tensor that broadcasts as
            ``logvar`` does in :func:`vaekern.gaussian_log_likelihood`. A ``Parameter`` is trained
            with the module; another tensor is copied, to a buffer.
        log_scale: the logarithm of the scale where the decoder gives none: likewise.
        learned: make a parameter of a copy of ``log_scale``.
        uint8_range: how a uint8 ``x`` is read: ``"unit"``, ``"signed"`` or ``"binary"``.
    """

    name = "student_t"

    def __init__(
        self,
        df: Tensor | float = 4.0,
        log_scale: Tensor | float = 0.0,
        *,
        learned: bool = False,
        uint8_range: str = "unit",
    ) -> None:
        super().__init__()
        self.df: Tensor | float
        self.log_scale: Tensor | float
        hold(self, "df", df, learned=False)
        if not isinstance(df, Tensor) and not df > 0:
            raise ValueError(f"df: expected a positive number, got {df}")
        hold(self, "log_scale", log_scale, learned)
        self.uint8_range = known_uint8_range(uint8_range)

    def call(self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int) -> Call:
        loc, log_scale = self._split(decoder_output)
        return student_t_call(loc, x, log_scale, self.df, batch_dims, self.uint8_range)

    def unchecked(
        self, decoder_output: DecoderOutput, x: Tensor, batch_dims: int, mask: Tensor | None
    ) -> Unchecked | None:
        if type(self) is not StudentTLikelihood:
            return None
        parameters = *unchecked_with_own(decoder_output, self.log_scale), self.df
        return table.STUDENT_T, (*parameters, x, mask, batch_dims, self.uint8_range)

    def mean(self, decoder_output: DecoderOutput) -> Tensor:
        """The location, also where too few degrees of freedom leave no mean."""
        return self._split(decoder_output)[0]

    @torch.no_grad()
    def sample(
        self, decoder_output: DecoderOutput, generator: torch.Generator | None = None
    ) -> Tensor:
        loc, log_scale = self._split(decoder_output)
        middle = wide(loc)
        half_df = 0.5 * spread(self.df, middle)
        # A Gaussian whose precision is a Gamma variable of mean 1: of infinitely many degrees, 1.
        gamma = standard_gamma(half_df.clamp(max=1e6), generator=generator)
        precision = (gamma / half_df.clamp(max=1e6)).clamp(min=torch.finfo(middle.dtype).tiny)
        precision = torch.where(half_df > 1e6, 1.0, precision)
        normal = torch.empty_like(middle).normal_(generator=generator)
        deviation = spread(log_scale, middle).exp() * normal / precision.sqrt()
        return stored(away_from(middle, deviation), loc.dtype)

    def _split(self, decoder_output: DecoderOutput) -> tuple[Tensor, Tensor | float]:
        return with_own(decoder_output, "loc", "log_scale", self.log_scale)
