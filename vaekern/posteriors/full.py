"""Gaussians with full covariance."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import per_datapoint, std
from vaekern.functional import gaussian_kl
from vaekern.posteriors._linear import half_squares, solve_lower, standard_log_prob, standard_noise
from vaekern.posteriors.base import AnyPrior, Posterior, diagonal_prior
from vaekern.posteriors.cholesky import tril_from_matrix, tril_from_packed
from vaekern.posteriors.diagonal import ENTROPY_OF_STANDARD
from vaekern.posteriors.tril import check_tril, diagonal_of, gaussian_kl_tril, sample_tril


class FullGaussian(Posterior):
    """N(mu, L L^T). See :func:`vaekern.sample_tril` and :func:`vaekern.gaussian_kl_tril`.

    Args:
        mu: means [*batch, ..., D]. Gets gradients.
        tril: L [*batch, ..., D, D], with a positive diagonal (not checked); what is above it is
            not read. Gets gradients.
        batch_dims: how many leading dimensions index datapoints.

    Raises:
        ValueError: shapes or devices do not fit.
        TypeError: an argument is no floating-point tensor.
    """

    def __init__(self, mu: Tensor, tril: Tensor, *, batch_dims: int = 1) -> None:
        check_tril(mu, tril, batch_dims)
        super().__init__(batch_dims)
        self.mu = mu
        self.tril = tril

    @classmethod
    def from_raw(
        cls,
        mu: Tensor,
        raw: Tensor,
        *,
        diagonal: str = "softplus",
        floor: float = 0.0,
        batch_dims: int = 1,
    ) -> FullGaussian:
        """With L made of an encoder's numbers, matrices [..., D, D] or packed
        [..., D (D + 1) / 2]: see :func:`vaekern.posteriors.tril_from_matrix`."""
        packed = raw.dim() == mu.dim()
        tril = (tril_from_packed if packed else tril_from_matrix)(raw, diagonal, floor)
        return cls(mu, tril, batch_dims=batch_dims)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return self.mu, self.tril

    @property
    def mean(self) -> Tensor:
        return self.mu

    mode = mean

    @property
    def stddev(self) -> Tensor:
        wide = self.tril.to(accumulation_dtype(self.tensors))
        return torch.linalg.vector_norm(torch.tril(wide), dim=-1)

    def rsample(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        z = sample_tril(self.mu, self.tril, eps, seed, generator)
        return z.to(self.mu.dtype)

    def log_prob(self, z: Tensor) -> Tensor:
        wide = accumulation_dtype((self.mu, self.tril, z))
        distance = (z.to(wide) - self.mu.to(wide)).unsqueeze(-1)
        whitened = solve_lower(self.tril.to(wide), distance)
        return self._log_prob_of_noise(whitened.squeeze(-1))

    def sample_with_log_prob(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Tensor, Tensor]:
        # log q(z) is known by the noise: nothing has to be solved.
        wide = accumulation_dtype(self.tensors)
        noise = standard_noise(self.mu.shape, self.mu, wide, eps, seed, generator)
        return self.rsample(noise), self._log_prob_of_noise(noise)

    def _log_prob_of_noise(self, noise: Tensor) -> Tensor:
        return standard_log_prob(noise, batch_dims=self.batch_dims) - self._half_log_det()

    def _half_log_det(self) -> Tensor:
        wide = accumulation_dtype(self.tensors)
        return per_datapoint(diagonal_of(self.tril).to(wide).log(), self.batch_dims)

    def entropy(self) -> Tensor:
        elements = self.mu.shape[self.batch_dims :].numel()
        return self._half_log_det() + elements * ENTROPY_OF_STANDARD

    def closed_form_kl(self, prior: AnyPrior) -> Tensor | None:
        dims = self.batch_dims
        if isinstance(prior, FullGaussian):
            return gaussian_kl_tril(self.mu, self.tril, prior.mu, prior.tril, batch_dims=dims)
        to = diagonal_prior(prior)
        if to is None:
            return None
        if to.logvar is None:
            return gaussian_kl_tril(self.mu, self.tril, to.mu, batch_dims=dims)
        wide = accumulation_dtype((*self.tensors, to.mu, to.logvar))
        prior_std = std(to.logvar.to(wide), to.scale)
        of_diagonal = gaussian_kl(
            self.mu, diagonal_of(self.tril), to.mu, prior_std, scale="std", batch_dims=dims
        )
        whitened = torch.tril(self.tril.to(wide), -1) / prior_std.unsqueeze(-1)
        return of_diagonal + half_squares(whitened, dims)

    def map(self, function: Callable[[Tensor], Tensor], added_dims: int = 0) -> FullGaussian:
        return FullGaussian(
            function(self.mu), function(self.tril), batch_dims=self.batch_dims + added_dims
        )
