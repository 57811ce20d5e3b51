"""Gaussians with a covariance of low rank beside a diagonal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import inverse_std, log_std, per_datapoint, std
from vaekern._checks import check_device, check_float, check_like, check_scale
from vaekern._torch import shape_to_compare
from vaekern.functional import gaussian_kl, reparameterize
from vaekern.posteriors._linear import (
    half_squares,
    standard_log_prob,
    standard_noise,
    times_vector,
)
from vaekern.posteriors.base import AnyPrior, Posterior, diagonal_prior
from vaekern.posteriors.diagonal import ENTROPY_OF_STANDARD, in_scale
from vaekern.posteriors.tril import check_vector_batch_dims, diagonal_of


class LowRankGaussian(Posterior):
    r"""N(mu, W W^T + S) with W of R columns and S diagonal: D (R + 2) numbers instead of those of
    a full covariance.

    With :math:`A = S^{-1/2} W` and the capacitance matrix :math:`C = I + A^T A`, R x R,

    .. math:: \log |W W^T + S| = \log |S| + \log |C|

    (the determinant lemma), the squared distance of z is that of :math:`u = S^{-1/2} (z - \mu)`,

    .. math:: u^T (I + A A^T)^{-1} u = \|u - A y\|^2 + \|y\|^2, \quad y = C^{-1} A^T u

    and the KL divergence to a Gaussian N(m, e^w) of independent elements is that of N(mu, S) and

    .. math:: \tfrac12 \Bigl(\sum_i e^{-w_i} \|W_i\|^2 - \log |C| \Bigr)

    Densities, entropies and divergences are computed in float64 and rounded at the end: where S is
    small beside the factor, :math:`A^T A` is large and what remains of it is not.

    Args:
        mu: means [*batch, ..., D]. Gets gradients.
        factor: W [*batch, ..., D, R]. Gets gradients.
        logvar: the diagonal of S, as log-variances (see ``scale``), the shape of ``mu``. Gets
            gradients.
        scale: what ``logvar`` holds: ``"logvar"``, ``"log_std"`` or ``"std"``.
        batch_dims: how many leading dimensions index datapoints.

    Noise ``eps`` for a sample has D + R numbers in place of D: those of the diagonal, then those
    of the factor.

    Raises:
        ValueError: shapes or devices do not fit.
        TypeError: an argument is no floating-point tensor.
    """

    def __init__(
        self,
        mu: Tensor,
        factor: Tensor,
        logvar: Tensor,
        *,
        scale: str = "logvar",
        batch_dims: int = 1,
    ) -> None:
        for name, tensor in (("mu", mu), ("factor", factor), ("logvar", logvar)):
            check_float(name, tensor)
        check_like("logvar", logvar, "mu", mu)
        if mu.dim() == 0 or shape_to_compare(factor)[:-1] != shape_to_compare(mu):
            raise ValueError(
                f"factor: expected [..., D, R] for mu [..., D] {tuple(mu.shape)}, "
                f"got {tuple(factor.shape)}"
            )
        check_device("factor", factor, "mu", mu)
        check_vector_batch_dims(batch_dims, mu)
        check_scale(scale)
        super().__init__(batch_dims)
        self.mu = mu
        self.factor = factor
        self.logvar = logvar
        self.scale = scale

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.mu, self.factor, self.logvar

    @property
    def mean(self) -> Tensor:
        return self.mu

    mode = mean

    @property
    def stddev(self) -> Tensor:
        wide = accumulation_dtype(self.tensors)
        of_diagonal = std(self.logvar.to(wide), self.scale)
        return torch.hypot(of_diagonal, torch.linalg.vector_norm(self.factor.to(wide), dim=-1))

    def rsample(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        wide = accumulation_dtype(self.tensors)
        noise = self._noise(eps, seed, generator)
        of_diagonal, of_factor = noise.split(self.factor.shape[-2:], dim=-1)
        z = reparameterize(self.mu.to(wide), self.logvar, of_diagonal, scale=self.scale)
        return (z + times_vector(self.factor.to(wide), of_factor)).to(self.mu.dtype)

    def _noise(
        self, eps: Tensor | None, seed: int | Tensor | None, generator: torch.Generator | None
    ) -> Tensor:
        shape = (*self.mu.shape[:-1], sum(self.factor.shape[-2:]))
        wide = accumulation_dtype(self.tensors)
        return standard_noise(shape, self.mu, wide, eps, seed, generator)

    def log_prob(self, z: Tensor) -> Tensor:
        wide = self._double()
        whitened, cholesky = wide._whitened()
        u = (z.double() - wide.mu) * inverse_std(wide.logvar, self.scale)
        y = _solve(cholesky, times_vector(whitened.mT, u))
        found = wide._log_prob(u - times_vector(whitened, y), y, cholesky)
        return found.to(accumulation_dtype((*self.tensors, z)))

    def sample_with_log_prob(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        # log q(z) by the noise: z, which is rounded, lies too far off where S is small.
        noise = self._noise(eps, seed, generator)
        of_diagonal, of_factor = noise.double().split(self.factor.shape[-2:], dim=-1)
        wide = self._double()
        whitened, cholesky = wide._whitened()
        lost = _solve(cholesky, of_factor - times_vector(whitened.mT, of_diagonal))
        rest = of_diagonal + times_vector(whitened, lost)
        found = wide._log_prob(rest, of_factor - lost, cholesky)
        return self.rsample(noise), found.to(accumulation_dtype(self.tensors))

    def _log_prob(self, rest: Tensor, y: Tensor, cholesky: Tensor) -> Tensor:
        of_rest = standard_log_prob(rest, batch_dims=self.batch_dims)  # with the constant
        of_factor = per_datapoint(0.5 * y * y, self.batch_dims)
        return of_rest - of_factor - self._half_log_det(cholesky)

    def entropy(self) -> Tensor:
        wide = self._double()
        elements = self.mu.shape[self.batch_dims :].numel()
        found = wide._half_log_det(wide._whitened()[1]) + elements * ENTROPY_OF_STANDARD
        return found.to(accumulation_dtype(self.tensors))

    def closed_form_kl(self, prior: AnyPrior) -> Tensor | None:
        to = diagonal_prior(prior)
        if to is None:
            return None
        w = None if to.logvar is None else in_scale(self.scale, to.logvar.double(), to.scale)
        wide = self._double()
        options: dict[str, Any] = {"scale": self.scale, "batch_dims": self.batch_dims}
        of_diagonal = gaussian_kl(wide.mu, wide.logvar, to.mu, w, **options)
        factor = wide.factor if w is None else wide.factor / std(w, self.scale).unsqueeze(-1)
        of_factor = half_squares(factor, self.batch_dims)
        found = of_diagonal + of_factor - self._of_capacitance(wide._whitened()[1])
        return found.to(accumulation_dtype((*self.tensors, to.mu, to.logvar)))

    def map(self, function: Callable[[Tensor], Tensor], added_dims: int = 0) -> LowRankGaussian:
        options: dict[str, Any] = {"scale": self.scale, "batch_dims": self.batch_dims + added_dims}
        return LowRankGaussian(*(function(t) for t in self.tensors), **options)

    def _double(self) -> LowRankGaussian:
        """In float64, converted once: gradients too are rounded after they were added up."""
        return self.map(torch.Tensor.double)

    def _whitened(self) -> tuple[Tensor, Tensor]:
        """A [..., D, R], and the Cholesky factor of C [..., R, R]: positive definite, so that no
        error has to be waited for. Of parameters in float64."""
        whitened = self.factor * inverse_std(self.logvar, self.scale).unsqueeze(-1)
        unit = torch.eye(whitened.shape[-1], dtype=torch.float64, device=whitened.device)
        return whitened, torch.linalg.cholesky_ex(whitened.mT @ whitened + unit)[0]

    def _half_log_det(self, cholesky: Tensor) -> Tensor:
        """Of W W^T + S."""
        of_diagonal = log_std(self.logvar, self.scale)
        return per_datapoint(of_diagonal, self.batch_dims) + self._of_capacitance(cholesky)

    def _of_capacitance(self, cholesky: Tensor) -> Tensor:
        """log |C| / 2 of all vectors of a datapoint."""
        return per_datapoint(diagonal_of(cholesky).log().sum(-1), self.batch_dims)


def _solve(cholesky: Tensor, vector: Tensor) -> Tensor:
    """C^-1 vector"""
    return torch.cholesky_solve(vector.unsqueeze(-1), cholesky).squeeze(-1)
