"""The weight of the KL divergence in the course of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vaekern._checks import check_number


class KLWarmup(nn.Module):
    r"""A weight for the KL divergence that grows linearly, once or again in every cycle.

    .. math:: \beta_t = s + (e - s) \min(1, t' / r), \qquad t' = t \text{ or } t \bmod p

    with s ``start``, e ``stop``, r ``ramp_steps`` and p ``period``. (Linear: Bowman et al. 2016,
    Sønderby et al. 2016. Cyclical: Fu et al. 2019, whose R is ``ramp_steps / period``.)

    ``beta`` is a 0-d tensor that :meth:`step` writes to, so that compiled code and captured graphs
    read the new value without being made again. It is state, saved by ``state_dict``.

    Give the module to :class:`vaekern.VAE`, or ``beta`` to it or to :func:`vaekern.elbo_loss`: the
    tensor stays the same one when the module is moved or cast. Call :meth:`step` after the backward
    pass, which may read ``beta`` too.

    Args:
        ramp_steps: how many steps the growth takes.
        period: the length of a cycle in steps; without one, there is no second ramp.
        start, stop: the weight before and after the growth, any numbers.

    Raises:
        ValueError: ``ramp_steps`` is below 1, or ``period`` below ``ramp_steps``.
        TypeError: an argument is no number.
    """

    beta: Tensor
    steps: Tensor

    def __init__(
        self,
        ramp_steps: int,
        *,
        period: int | None = None,
        start: float = 0.0,
        stop: float = 1.0,
    ) -> None:
        super().__init__()
        start, stop = check_number("start", start), check_number("stop", stop)
        check_number("ramp_steps", ramp_steps)
        check_number("period", ramp_steps if period is None else period)
        if ramp_steps < 1:
            raise ValueError(f"ramp_steps: expected at least 1, got {ramp_steps}")
        if period is not None and period < ramp_steps:
            raise ValueError(f"period: expected at least ramp_steps, {ramp_steps}, got {period}")
        self.ramp_steps, self.period, self.start, self.stop = ramp_steps, period, start, stop
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("beta", torch.full((), start))

    @torch.no_grad()
    def step(self) -> None:
        """Advances by one step. Nothing is read by the host."""
        self.steps += 1
        passed = self.steps if self.period is None else self.steps % self.period
        progress = (passed / self.ramp_steps).clamp(max=1.0)
        self.beta.copy_(self.start + (self.stop - self.start) * progress)

    def forward(self) -> Tensor:
        """``beta``."""
        return self.beta

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> KLWarmup:
        # torch would put another buffer in the place of beta: whoever was handed it would keep one
        # that no step writes to.
        handed_out = self.beta
        super()._apply(fn, *args, **kwargs)
        if self.beta is not handed_out and _same_kind(handed_out, self.beta):
            handed_out.data = self.beta
            self.beta = handed_out
        return self

    def extra_repr(self) -> str:
        return (
            f"ramp_steps={self.ramp_steps}, period={self.period}, "
            f"start={self.start}, stop={self.stop}"
        )


def _same_kind(old: Tensor, new: Tensor) -> bool:
    """Whether one may have the other's memory: not where it goes to, or comes from, ``meta``."""
    return old.is_meta == new.is_meta and type(old) is type(new)
