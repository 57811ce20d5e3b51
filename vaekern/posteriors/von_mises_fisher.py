"""The von Mises-Fisher distribution: a direction, and how closely vectors keep to it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import per_datapoint
from vaekern._checks import check_device, check_float, check_like
from vaekern._torch import shape_to_compare
from vaekern.posteriors._bessel import cumulant
from vaekern.posteriors._linear import standard_noise
from vaekern.posteriors._polar import NOISE, polar_angle
from vaekern.posteriors.base import AnyPrior, Posterior
from vaekern.posteriors.cholesky import positive
from vaekern.posteriors.prior import SPHERE, Prior


class VonMisesFisher(Posterior):
    r"""Unit vectors around a direction.

    .. math:: q(z) = \frac{e^{\kappa \mu^T z}}{Z_d(\kappa)}, \qquad
        Z_d(\kappa) = (2 \pi)^{d/2} \kappa^{1 - d/2} I_{d/2-1}(\kappa)

    on the sphere S^(d-1), with respect to its area. (Davidson et al. 2018, section 3, the S-VAE.)
    The prior is :class:`vaekern.priors.UniformSphere`, to which the KL divergence is known, and so
    is that to another von Mises-Fisher distribution.

    Samples are differentiable in both parameters: the direction by a Householder reflection, the
    angle to it by implicit reparameterisation (Figurnov et al. 2018), which needs no correction by
    the score function that rejection does otherwise. A kappa for each vector is all that its
    Bessel functions are evaluated for, in float64.

    Args:
        mu: directions [*batch, ..., d] with d at least 2, of any length but 0. Gets gradients.
        kappa: concentrations [*batch, ..., 1], not negative (not checked); 0 is the uniform
            distribution. Values are accurate to float32 from 0 to 1e8. Gets gradients.
        batch_dims: how many leading dimensions index datapoints.

    Raises:
        ValueError: shapes or devices do not fit.
        TypeError: an argument is no floating-point tensor.
    """

    support = SPHERE

    def __init__(self, mu: Tensor, kappa: Tensor, *, batch_dims: int = 1) -> None:
        _check(mu, kappa, batch_dims)
        super().__init__(batch_dims)
        self.mu = mu
        self.kappa = kappa

    @classmethod
    def softplus(
        cls, mu: Tensor, raw: Tensor, *, floor: float = 1.0, batch_dims: int = 1
    ) -> VonMisesFisher:
        """With concentrations log(1 + e^raw) + floor: see :func:`vaekern.posteriors.positive`. A
        floor of 1 is that of Davidson et al. (2018), where sampling and gradients stay tame."""
        return cls(mu, positive(raw, "softplus", floor), batch_dims=batch_dims)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.mu, self.kappa

    @property
    def location(self) -> Tensor:
        """The direction, of length 1."""
        return self._direction().to(self.mu.dtype)

    mode = location

    @property
    def mean(self) -> Tensor:
        """Within the sphere: the direction times I_(d/2) / I_(d/2-1)."""
        kappa, _, across = self._cumulant()
        return (kappa * across * self._direction()).to(self.mu.dtype)

    @property
    def stddev(self) -> Tensor:
        kappa, _, across = self._cumulant()
        mean, direction = kappa * across, self._direction()
        along = 1.0 - mean * mean - (self._dims - 1.0) * across
        variance = across + (along - across) * direction.double().square()
        return variance.clamp(min=0.0).sqrt().to(direction.dtype)

    def rsample(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """One z for each datapoint, differentiable in the parameters.

        Args:
            eps: standard normals [*batch, ..., d - 1 + 64]: those around the direction, and 4 for
                each of the 16 proposals of the angle to it.
            seed, generator: the noise's source, as in :func:`vaekern.reparameterize`.
        """
        return self._sample(eps, seed, generator)[0].to(self.mu.dtype)

    def sample_with_log_prob(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        # By the angle: of a concentrated distribution the rounding of z would be felt.
        z, angle = self._sample(eps, seed, generator)
        height = 2.0 * torch.sin(0.5 * angle).square()
        return z.to(self.mu.dtype), self._log_density(height)

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z | x) per datapoint, in nats. Gives gradients to z and the parameters.

        Args:
            z: unit vectors (not checked), the shape of ``mu``.
        """
        check_float("z", z)
        check_like("z", z, "mu", self.mu)
        direction = self._direction()
        # 1 - mu^T z, without its cancellation.
        away = z.to(torch.promote_types(direction.dtype, z.dtype)) - direction
        return self._log_density(0.5 * away.square().sum(-1, keepdim=True))

    def _log_density(self, height: Tensor) -> Tensor:
        """At unit vectors with 1 - mu^T z = height [*batch, ..., 1]."""
        kappa, total, _ = self._cumulant()
        log_density = kappa - total - kappa * height.double() - log_area(self._dims)
        return self._per_datapoint(log_density)

    def entropy(self) -> Tensor:
        return self._per_datapoint(log_area(self._dims) - self._kl_to_uniform())

    def closed_form_kl(self, prior: AnyPrior) -> Tensor | None:
        if isinstance(prior, VonMisesFisher):
            return self._per_datapoint(self._kl_to(prior))
        if isinstance(prior, Prior) and prior.is_uniform_on_sphere():
            return self._per_datapoint(self._kl_to_uniform())
        return None

    def map(self, function: Callable[[Tensor], Tensor], added_dims: int = 0) -> VonMisesFisher:
        return VonMisesFisher(
            function(self.mu), function(self.kappa), batch_dims=self.batch_dims + added_dims
        )

    @property
    def _dims(self) -> int:
        return int(self.mu.shape[-1])

    def _cumulant(self) -> tuple[Tensor, Tensor, Tensor]:
        """kappa, L and A / kappa in float64, in which their gradients are added up, too: there is
        little left of them."""
        kappa = self.kappa.double()
        return kappa, *cumulant(kappa, self._dims)

    def _kl_to_uniform(self) -> Tensor:
        """kappa A - L: what the mean's own exponent exceeds the logarithm of the mean by."""
        kappa, total, ratio = self._cumulant()
        return kappa * kappa * ratio - total

    def _kl_to(self, other: VonMisesFisher) -> Tensor:
        check_like("prior: mu", other.mu, "mu", self.mu)
        kappa, total, ratio = self._cumulant()
        others, others_total, _ = other._cumulant()
        away = self._direction().double() - other._direction().double()
        turned = 0.5 * away.square().sum(-1, keepdim=True)
        of_kappa = kappa * ratio * (kappa - others) - (total - others_total)
        return of_kappa + others * kappa * ratio * turned

    def _direction(self) -> Tensor:
        wide = self.mu.to(accumulation_dtype(self.tensors))
        return wide / torch.linalg.vector_norm(wide, dim=-1, keepdim=True)

    def _sample(
        self,
        eps: Tensor | None,
        seed: int | Tensor | None,
        generator: torch.Generator | None,
    ) -> tuple[Tensor, Tensor]:
        """z, and its angle to the direction [*batch, ..., 1]."""
        direction, d = self._direction(), self._dims
        shape = (*self.mu.shape[:-1], d - 1 + NOISE)
        noise = standard_noise(shape, self.mu, direction.dtype, eps, seed, generator)
        around, for_angle = noise.split((d - 1, NOISE), dim=-1)
        angle = polar_angle(self.kappa.to(direction.dtype), for_angle, d)
        around = around / torch.linalg.vector_norm(around, dim=-1, keepdim=True)
        at_pole = torch.cat([torch.cos(angle), torch.sin(angle) * around], dim=-1)
        return _turned(at_pole, direction), angle

    def _per_datapoint(self, of_vectors: Tensor) -> Tensor:
        """Sums of numbers [*batch, ..., 1], in the dtype of results."""
        return per_datapoint(of_vectors, self.batch_dims).to(accumulation_dtype(self.tensors))


def log_area(dims: int) -> float:
    """The logarithm of the area of S^(d-1)."""
    return math.log(2.0) + 0.5 * dims * math.log(math.pi) - math.lgamma(0.5 * dims)


def _turned(vectors: Tensor, direction: Tensor) -> Tensor:
    """By an orthogonal map that takes the first axis to ``direction``: the Householder reflection
    that takes it to the nearer of that and its opposite, which may be the axis itself, and minus
    that where it has to be."""
    first = direction[..., :1]
    sign = torch.where(first > 0.0, 1.0, -1.0).to(direction.dtype)
    mirror = torch.cat([first + sign, direction[..., 1:]], dim=-1)
    along = (mirror * vectors).sum(-1, keepdim=True) / (1.0 + first.abs())
    return sign * (along * mirror - vectors)


def _check(mu: Tensor, kappa: Tensor, batch_dims: int) -> None:
    check_float("mu", mu)
    check_float("kappa", kappa)
    if mu.dim() < 1 or shape_to_compare(mu)[-1] < 2:
        raise ValueError(f"mu: expected vectors [..., d] with d at least 2, got {tuple(mu.shape)}")
    if not 0 <= batch_dims < mu.dim():
        raise ValueError(
            f"batch_dims: expected at most {mu.dim() - 1}, for vectors in {tuple(mu.shape)}, "
            f"got {batch_dims}"
        )
    wanted = (*shape_to_compare(mu)[:-1], 1)
    if shape_to_compare(kappa) != torch.Size(wanted):
        raise ValueError(
            f"kappa: expected one for each vector of mu, {wanted}, got {tuple(kappa.shape)}"
        )
    check_device("kappa", kappa, "mu", mu)
