"""Posteriors that a flow makes of simpler ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.distributions import Transform

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import per_datapoint
from vaekern._torch import shape_to_compare
from vaekern.posteriors.base import Posterior
from vaekern.posteriors.flows import Flow
from vaekern.posteriors.prior import REALS

Step: TypeAlias = "Flow | Transform"


class Transformed(Posterior):
    r"""z = g(y) with y from another posterior and g a chain of invertible maps.

    .. math:: \log q(z \mid x) = \log q_0(y \mid x) - \log |\det \partial z / \partial y|

    (Change of variables; Rezende & Mohamed 2015.) The density of its own samples needs no inverse
    of g, that of any other z does. There is no closed form of its entropy or of a KL divergence.

    Args:
        base: the posterior of y.
        steps: applied in this order: flows of this package (:class:`Planar`,
            :class:`AffineAutoregressive`, any :class:`Flow`), or ``torch.distributions``
            transforms that keep the shape.
        context: what the flows get of the datapoint [*batch, features].

    Steps have parameters of their own, which :meth:`detach` would not reach: it is refused, and so
    are the estimators ``"stl"`` and ``"dreg"``.

    Raises:
        ValueError: the base is no posterior over any numbers.
    """

    def __init__(
        self, base: Posterior, steps: Sequence[Step], context: Tensor | None = None
    ) -> None:
        if base.support != REALS:
            raise ValueError(
                f"base: expected a posterior over {REALS}, which steps can map, got "
                f"{type(base).__name__} over {base.support}"
            )
        super().__init__(base.batch_dims)
        self.base = base
        self.steps = tuple(steps)
        self.context = context

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.base.tensors

    @property
    def location(self) -> Tensor:
        """What the location of the base becomes: not the mean."""
        return self._forward(self.base.location)[0]

    def rsample(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        return self._forward(self.base.rsample(eps, seed, generator))[0]

    def sample_with_log_prob(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        y, log_base = self.base.widen().sample_with_log_prob(eps, seed, generator)
        z, log_det = self._forward(y.to(self.tensors[0].dtype))
        return z, log_base - log_det

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z | x) per datapoint, in nats.

        Raises:
            NotImplementedError: a step has no inverse.
        """
        y = z
        for step in reversed(self.steps):
            y = step.inv(y) if isinstance(step, Transform) else step.inverse(y, self.context)
        return self.base.log_prob(y) - self._forward(y)[1]

    def _forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """z, and the log-determinant per datapoint."""
        wide = accumulation_dtype((y,))
        total = y.new_zeros(y.shape[: self.batch_dims], dtype=wide)
        for step in self.steps:
            if isinstance(step, Transform):
                z = step(y)
                log_det = step.log_abs_det_jacobian(y, z)
            else:
                z, log_det = step(y, self.context)
            _check_log_det(step, log_det, y, self.batch_dims)
            total = total + per_datapoint(log_det.to(wide), self.batch_dims)
            y = z
        return y, total

    def map(self, function: Callable[[Tensor], Tensor], added_dims: int = 0) -> Transformed:
        context = None if self.context is None else function(self.context)
        return Transformed(self.base.map(function, added_dims), self.steps, context)

    def detach(self) -> Transformed:
        raise NotImplementedError("Transformed: detach does not reach the parameters of its steps")

    def widen(self) -> Transformed:
        """As it is: the steps compute in a dtype of their own."""
        return self


def _check_log_det(step: Step, log_det: Tensor, y: Tensor, batch_dims: int) -> None:
    """One for each datapoint, at least: others might broadcast."""
    if shape_to_compare(log_det)[:batch_dims] != shape_to_compare(y)[:batch_dims]:
        raise ValueError(
            f"{type(step).__name__}: expected log|det| for each datapoint, "
            f"{tuple(y.shape[:batch_dims])}, got shape {tuple(log_det.shape)}"
        )
