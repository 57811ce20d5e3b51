"""Posteriors near one-hot vectors: the Gumbel-softmax relaxation of classes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vaekern._checks import check_float
from vaekern.functional.categoricals import gumbel_softmax, relaxed_categorical_log_prob
from vaekern.functional.classes import check_classes
from vaekern.posteriors.categorical import Categorical, OverClasses, seed_alone
from vaekern.posteriors.prior import ONE_HOT, SIMPLEX, Categories, Support


class RelaxedCategorical(OverClasses):
    r"""Points of the simplex near its corners: the Gumbel-softmax or Concrete distribution.

    .. math:: z_i = \mathrm{softmax}((l_i + g_i) / \tau), \qquad g \sim \mathrm{Gumbel}(0, 1)

    (Jang et al. 2017; Maddison et al. 2017.) Samples are differentiable. What the KL divergence is
    depends on the prior:

    - to :class:`vaekern.priors.RelaxedCategorical` it is that of the relaxed distributions,
      estimated from the sample with their densities (Maddison et al. 2017, eq. 8).
    - to a prior over classes, as :class:`vaekern.priors.UniformCategorical`, it is that of the
      categorical distributions themselves, in closed form, as Jang et al. (2017) and the
      discrete VAE of DALL-E have it. The loss is then no bound on log p(x), and bounds of several
      samples, which need densities, are refused.

    Args:
        logits: [*batch, ..., K]. Gets gradients.
        temperature: tau, a positive number or a 0-d tensor, which may change from step to step.
        hard: samples are one-hot vectors with the derivatives of relaxed ones ("straight-through"):
            those of :class:`Categorical`, whose density and divergences these then are.
        batch_dims: how many leading dimensions index datapoints.

    Errors are those of :func:`vaekern.gumbel_softmax`, some of them when it is called.
    """

    unimix = 0.0

    def __init__(
        self,
        logits: Tensor,
        temperature: Tensor | float,
        *,
        hard: bool = False,
        batch_dims: int = 1,
    ) -> None:
        check_float("logits", logits)
        check_classes(logits, batch_dims)
        super().__init__(batch_dims)
        self.logits = logits
        self.temperature = temperature
        self.hard = hard

    @property
    def support(self) -> Support:  # type: ignore[override]
        return ONE_HOT if self.hard else SIMPLEX

    @property
    def reparameterized(self) -> bool:  # type: ignore[override]
        return not self.hard

    def categorical(self) -> Categories | None:
        return self._as_categorical().categorical() if self.hard else None

    @property
    def location(self) -> Tensor:
        """The probabilities of the classes, or the likeliest one of ``hard``."""
        return self._as_categorical().mode if self.hard else self.probs.to(self.logits.dtype)

    def rsample(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """One z for each datapoint, differentiable in the logits and the temperature.

        Args:
            eps: None: the noise is generated with the sample.
            seed, generator: its source, as in :func:`vaekern.reparameterize`.
        """
        words = seed_alone(self.logits, eps, seed, generator)
        return gumbel_softmax(
            self.logits,
            self.temperature,
            hard=self.hard,
            seed=words,
            batch_dims=self.batch_dims,
        )

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z | x) per datapoint, in nats, of points within the simplex (not checked), or of
        one-hot vectors for ``hard``. Gives gradients to z and the parameters."""
        if self.hard:
            return self._as_categorical().log_prob(z)
        return relaxed_categorical_log_prob(
            z, self.logits, self.temperature, batch_dims=self.batch_dims
        )

    def map(self, function: Callable[[Tensor], Tensor], added_dims: int = 0) -> RelaxedCategorical:
        return self._of(function(self.logits), self.temperature, added_dims)

    def detach(self) -> RelaxedCategorical:
        fixed = self.temperature
        return self._of(
            self.logits.detach(), fixed.detach() if isinstance(fixed, Tensor) else fixed
        )

    def _of(
        self, logits: Tensor, temperature: Tensor | float, added_dims: int = 0
    ) -> RelaxedCategorical:
        dims = self.batch_dims + added_dims
        return RelaxedCategorical(logits, temperature, hard=self.hard, batch_dims=dims)

    def _as_categorical(self) -> Categorical:
        return Categorical(self.logits, batch_dims=self.batch_dims)
