"""Priors, as posteriors know them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from vaekern._modules.state import described_state

#: What a distribution's values are: densities of different ones are not to be compared. Of products
#: there is one for each part; None is not known.
Support: TypeAlias = "str | tuple[Support, ...] | None"
REALS, SPHERE = "any numbers", "unit vectors"
ONE_HOT, SIMPLEX = "one-hot vectors", "points of the simplex"


def joint_support(parts: Sequence[Support]) -> Support:
    """Of what lies side by side."""
    return REALS if all([part == REALS for part in parts]) else tuple(parts)


def may_agree(one: Support, other: Support) -> bool:
    """Whether nothing is known to the contrary."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all([may_agree(*pair) for pair in pairs])
    return one is None or other is None or one == other


class Diagonal(NamedTuple):
    """A Gaussian of independent elements, as :func:`vaekern.gaussian_kl` takes its prior: None
    stands for a standard normal's parameter."""

    mu: Tensor | None
    logvar: Tensor | None
    scale: str = "logvar"


class Categories(NamedTuple):
    """Independent categorical distributions over the last dimension of one-hot vectors, as
    :func:`vaekern.categorical_kl` takes its prior: None stands for uniform ones."""

    latent_shape: tuple[int, ...]
    logits: Tensor | None
    unimix: float = 0.0


class Prior(nn.Module):
    """A distribution p(z) over latents, the interface: ``vk.VAE(..., prior=...)`` takes any
    subclass with :meth:`log_prob` and :meth:`sample`."""

    #: What z is, as posteriors say it of theirs.
    support: Support = REALS

    def log_prob(self, z: Tensor, *, batch_dims: int = 1) -> Tensor:
        """log p(z) per datapoint, in nats: the shape ``z.shape[:batch_dims]``. Gives gradients to
        z and the prior's parameters."""
        raise NotImplementedError

    def sample(self, num_samples: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Samples [num_samples, *latent]. Carries no gradient."""
        raise NotImplementedError

    def diagonal(self) -> Diagonal | None:
        """Its parameters, if it is a Gaussian of independent elements: KL divergences of Gaussian
        posteriors to it are then computed in closed form."""
        return None

    def categorical(self) -> Categories | None:
        """Its parameters, if it is categorical: KL divergences of posteriors over classes to it are
        then computed in closed form."""
        return None

    def is_uniform_on_sphere(self) -> bool:
        """Whether it is the uniform distribution of unit vectors, the last dimension."""
        return False

    def factors(self) -> Sequence[Prior] | None:
        """Those of its parts, if it is a product, one for each part of a
        :class:`vaekern.posteriors.Product`."""
        return None

    def extra_repr(self) -> str:
        return described_state(self)
