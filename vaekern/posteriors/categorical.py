"""Posteriors over classes: one-hot vectors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent
from torch.distributions import OneHotCategorical as TorchOneHotCategorical

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import per_datapoint
from vaekern._checks import check_float, check_like
from vaekern._ops.call import Call, run
from vaekern.functional.categoricals import (
    categorical_kl_call,
    check_unimix,
    sample_categorical,
)
from vaekern.functional.classes import check_classes
from vaekern.functional.noise import resolve_noise
from vaekern.posteriors.base import AnyPrior, Posterior
from vaekern.posteriors.one_hot import OneHotCategoricalStraightThrough
from vaekern.posteriors.prior import ONE_HOT, Categories, Support

if TYPE_CHECKING:
    from typing_extensions import Self


class OverClasses(Posterior):
    """What posteriors made of logits have in common."""

    logits: Tensor
    unimix: float

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    @property
    def probs(self) -> Tensor:
        """Of each class, the shape of the logits; float32 for half precision."""
        probs = torch.softmax(self._wide(), dim=-1)
        return (1.0 - self.unimix) * probs + self.unimix / self.logits.shape[-1]

    @property
    def log_probs(self) -> Tensor:
        log_probs = torch.log_softmax(self._wide(), dim=-1)
        if self.unimix == 0.0:
            return log_probs
        floor = math.log(self.unimix / self.logits.shape[-1])
        return torch.logaddexp(log_probs + math.log1p(-self.unimix), log_probs.new_full((), floor))

    def closed_form_kl(self, prior: AnyPrior) -> Tensor | None:
        call = self.kl_call(prior)
        return None if call is None else run(call)

    def kl_call(self, prior: AnyPrior) -> Call | None:
        to = None if prior is None else prior.categorical()
        if to is None:
            return None
        if to.latent_shape != self.latent_shape:
            raise ValueError(
                f"prior: expected one over the latents {self.latent_shape}, got {to.latent_shape}"
            )
        if to.logits is None or to.unimix == self.unimix:  # the uniform one is that of any mixture
            return categorical_kl_call(self.logits, to.logits, self.unimix, self.batch_dims)
        other = Categorical(to.logits, unimix=to.unimix, batch_dims=0)
        return categorical_kl_call(self.log_probs, other.log_probs, 0.0, self.batch_dims)

    def _wide(self) -> Tensor:
        return self.logits.to(accumulation_dtype((self.logits,)))


class Categorical(OverClasses):
    r"""One-hot vectors: of one variable of K classes, or of several independent ones.

    .. math:: q(z \mid x) = \prod_i \prod_k p_{ik}^{z_{ik}}, \qquad
        p_i = (1 - u)\, \mathrm{softmax}(l_i) + \frac uK

    (DreamerV2's and V3's latents, Hafner et al. 2021, 2023, who have 32 variables of 32 classes.)
    Samples are exact, and have straight-through derivatives (Bengio et al. 2013): those of the
    probabilities, which are not those of any expectation. Bounds of several samples are as valid as
    ever, their gradients biased; ``"stl"`` and ``"dreg"`` are refused.

    Args:
        logits: [*batch, ..., K]. Gets gradients.
        unimix: the share u of the uniform distribution, from 0 to below 1.
        batch_dims: how many leading dimensions index datapoints.

    Raises:
        ValueError: shapes do not fit, or ``unimix`` is not in [0, 1).
        TypeError: the logits are no floating-point tensor, or ``unimix`` is no number.
    """

    support: Support = ONE_HOT
    reparameterized = False

    def __init__(self, logits: Tensor, *, unimix: float = 0.0, batch_dims: int = 1) -> None:
        check_float("logits", logits)
        check_classes(logits, batch_dims)
        super().__init__(batch_dims)
        self.logits = logits
        self.unimix = check_unimix(unimix)

    @classmethod
    def of(cls, distribution: Distribution, *, batch_dims: int = 1) -> Self:
        """Of torch's ``OneHotCategorical`` or ``OneHotCategoricalStraightThrough``, within
        ``Independent`` or not.

        Raises:
            TypeError: it is another one.
        """
        base = distribution
        while isinstance(base, Independent):
            base = base.base_dist
        if not isinstance(base, TorchOneHotCategorical):
            raise TypeError(
                "distribution: expected a torch.distributions.OneHotCategorical, got "
                f"{type(base).__name__}"
            )
        return cls(base.logits, batch_dims=batch_dims)

    def distribution(self) -> Distribution:
        """As torch's ``OneHotCategoricalStraightThrough``, by the kernels, within ``Independent``
        of the datapoints' dimensions."""
        logits = self.log_probs if self.unimix else self.logits
        variables = logits.dim() - 1 - self.batch_dims
        return Independent(OneHotCategoricalStraightThrough(logits=logits), variables)

    def categorical(self) -> Categories:
        return Categories(self.latent_shape, self.logits, self.unimix)

    @property
    def location(self) -> Tensor:
        """The likeliest z, as the mean is no one-hot vector."""
        return self.mode

    @property
    def mean(self) -> Tensor:
        """The probabilities."""
        return self.probs.to(self.logits.dtype)

    @property
    def mode(self) -> Tensor:
        best = self.logits.argmax(-1, keepdim=True)
        return torch.zeros_like(self.logits).scatter(-1, best, 1.0)

    @property
    def stddev(self) -> Tensor:
        probs = self.probs
        return torch.sqrt(probs * (1.0 - probs))

    def rsample(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """One one-hot z for each datapoint, with the derivatives of the probabilities.

        Args:
            eps: None: the noise is generated with the sample.
            seed, generator: its source, as in :func:`vaekern.reparameterize`.
        """
        words = seed_alone(self.logits, eps, seed, generator)
        return sample_categorical(
            self.logits, unimix=self.unimix, seed=words, batch_dims=self.batch_dims
        )

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z | x) per datapoint, in nats, of one-hot vectors (not checked). Gives gradients to
        z and the parameters."""
        check_float("z", z)
        check_like("z", z, "logits", self.logits)
        log_probs = self.log_probs
        # A class that cannot be drawn has no part in the rest of them.
        absent = (z == 0) & (log_probs == -math.inf)
        return per_datapoint(torch.where(absent, 0.0, log_probs) * z, self.batch_dims)

    def entropy(self) -> Tensor:
        probs, log_probs = self.probs, self.log_probs
        terms = torch.where(probs == 0, 0.0, log_probs) * probs
        return -per_datapoint(terms, self.batch_dims)

    def map(self, function: Callable[[Tensor], Tensor], added_dims: int = 0) -> Categorical:
        return Categorical(
            function(self.logits), unimix=self.unimix, batch_dims=self.batch_dims + added_dims
        )


def seed_alone(
    logits: Tensor,
    eps: Tensor | None,
    seed: int | Tensor | None,
    generator: torch.Generator | None,
) -> Tensor:
    if eps is not None:
        raise ValueError(
            "eps: expected None, as the noise of classes is generated where they are drawn: give a "
            "seed or a generator"
        )
    return resolve_noise("logits", logits, None, seed, generator)
