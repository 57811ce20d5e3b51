"""Priors over classes, and their relaxation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vaekern._checks import check_module
from vaekern._modules.outputs import single
from vaekern._modules.state import hold
from vaekern.functional.categoricals import check_unimix
from vaekern.posteriors.categorical import Categorical
from vaekern.posteriors.prior import ONE_HOT, SIMPLEX, Categories, Prior
from vaekern.posteriors.relaxed import RelaxedCategorical as RelaxedPosterior
from vaekern.priors.base import check_latent, check_samples, shape_of
from vaekern.priors.conditional import ConditionalPrior


class _OverClasses(Prior):
    """Of logits with the shape of one z."""

    logits: Tensor

    def log_prob(self, z: Tensor, *, batch_dims: int = 1) -> Tensor:
        check_latent(z, self.logits.shape, batch_dims)
        return self._distribution(self.logits.expand(z.shape), batch_dims).log_prob(z)

    @torch.no_grad()
    def sample(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        check_samples(num_samples)
        logits = self.logits.expand(num_samples, *self.logits.shape)
        return self._distribution(logits, 1).rsample(generator=generator)

    def _distribution(self, logits: Tensor, batch_dims: int) -> Categorical | RelaxedPosterior:
        raise NotImplementedError


class UniformCategorical(_OverClasses):
    """One-hot vectors of which every class is as likely.

    Args:
        latent_shape: the shape of one z [..., K], of which the last dimension is the classes.
    """

    support = ONE_HOT

    def __init__(self, latent_shape: int | Sequence[int]) -> None:
        super().__init__()
        self.latent_shape = _shape_of_classes(latent_shape)
        nothing = torch.zeros(()).expand(self.latent_shape)
        self.register_buffer("logits", nothing, persistent=False)  # takes no memory

    def categorical(self) -> Categories:
        return Categories(self.latent_shape, None)

    def _distribution(self, logits: Tensor, batch_dims: int) -> Categorical:
        return Categorical(logits, batch_dims=batch_dims)


class LearnedCategorical(_OverClasses):
    """One-hot vectors with learned logits, shared by all datapoints; at first every class is as
    likely.

    Args:
        latent_shape: the shape of one z [..., K], of which the last dimension is the classes.
        unimix: the share of the uniform distribution, from 0 to below 1.

    Raises:
        ValueError: ``unimix`` is not in [0, 1).
        TypeError: it is no number.
    """

    support = ONE_HOT

    def __init__(self, latent_shape: int | Sequence[int], unimix: float = 0.0) -> None:
        super().__init__()
        self.latent_shape = _shape_of_classes(latent_shape)
        self.logits = nn.Parameter(torch.zeros(self.latent_shape))
        self.unimix = check_unimix(unimix)

    def categorical(self) -> Categories:
        return Categories(self.latent_shape, self.logits, self.unimix)

    def _distribution(self, logits: Tensor, batch_dims: int) -> Categorical:
        return Categorical(logits, unimix=self.unimix, batch_dims=batch_dims)


class RelaxedCategorical(_OverClasses):
    """Points of the simplex, the prior of :class:`vaekern.posteriors.RelaxedCategorical` of which
    the KL divergence is estimated from the sample (Maddison et al. 2017).

    Args:
        latent_shape: the shape of one z [..., K], of which the last dimension is the classes.
        temperature: a positive number or a 0-d tensor.
        learned: make parameters of the logits, which otherwise are all alike.
    """

    support = SIMPLEX

    def __init__(
        self,
        latent_shape: int | Sequence[int],
        temperature: Tensor | float,
        *,
        learned: bool = False,
    ) -> None:
        super().__init__()
        self.latent_shape = _shape_of_classes(latent_shape)
        if learned:
            self.logits = nn.Parameter(torch.zeros(self.latent_shape))
        else:
            nothing = torch.zeros(()).expand(self.latent_shape)
            self.register_buffer("logits", nothing, persistent=False)
        self.temperature: Tensor | float
        hold(self, "temperature", temperature, learned=False)

    def _distribution(self, logits: Tensor, batch_dims: int) -> RelaxedPosterior:
        return RelaxedPosterior(logits, self.temperature, batch_dims=batch_dims)


class ConditionalCategorical(ConditionalPrior):
    """p(z | c) over one-hot vectors with logits = network(c): of a world model the prior given its
    state, of others given labels or contexts.

    Called with c it gives the distribution of z, a :class:`vaekern.posteriors.Categorical`.

    Args:
        network: a module from c [*batch, ...] (one tensor or several) to logits [*batch, ..., K].
        unimix: the share of the uniform distribution, from 0 to below 1.

    Raises:
        TypeError: ``network`` is no module, or returns something else.
        ValueError: ``unimix`` is not in [0, 1).
    """

    def __init__(self, network: nn.Module, *, unimix: float = 0.0) -> None:
        super().__init__()
        check_module("network", network, "from a condition to logits")
        self.network = network
        self.unimix = check_unimix(unimix)

    def forward(self, *condition: Tensor, batch_dims: int = 1) -> Categorical:
        """The distribution of z for each condition."""
        output: Any = self.network(*condition)
        return Categorical(single(output), unimix=self.unimix, batch_dims=batch_dims)

    def extra_repr(self) -> str:
        return f"unimix={self.unimix!r}"


def _shape_of_classes(latent_shape: int | Sequence[int]) -> tuple[int, ...]:
    shape = shape_of(latent_shape)
    if not shape or shape[-1] < 1:
        raise ValueError(
            f"latent_shape: expected classes in the last dimension, got {latent_shape}"
        )
    return shape
