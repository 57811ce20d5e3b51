"""Gaussians with a covariance of low rank beside a diagonal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import inverse_std, log_std, per_datapoint
from vaekern._checks import check_device, check_float, check_like, check_scale
from vaekern.functional import gaussian_kl, reparameterize
from vaekern.posteriors._linear import product, standard_log_prob, standard_noise, times_vector
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

    .. math:: \tfrac12 \Bigl(\sum_i (S_i e^{-w_i} - 1) \|A_i\|^2 + \mathrm{tr} A^T A - \log |C|
        \Bigr)

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
        if mu.dim() == 0 or factor.shape[:-1] != mu.shape:
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

    def rsample(
        self,
        eps: Tensor | None = None,
        seed: int | Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        wide = accumulation_dtype(self.tensors)
        d, r = self.factor.shape[-2:]
        shape = (*self.mu.shape[:-1], d + r)
        noise = standard_noise(shape, self.mu, wide, eps, seed, generator)
        of_diagonal, of_factor = noise.split((d, r), dim=-1)
        z = reparameterize(self.mu.to(wide), self.logvar, of_diagonal, scale=self.scale)
        return (z + times_vector(self.factor.to(wide), of_factor)).to(self.mu.dtype)

    def log_prob(self, z: Tensor) -> Tensor:
        wide = accumulation_dtype((*self.tensors, z))
        whitened, gram = self._whitened(wide)
        inverse = inverse_std(self.logvar.to(wide), self.scale)
        u = (z.to(wide) - self.mu.to(wide)) * inverse
        cholesky = _capacitance_cholesky(gram)
        projected = times_vector(whitened.mT, u).unsqueeze(-1)
        y = torch.cholesky_solve(projected.to(cholesky.dtype), cholesky).squeeze(-1).to(wide)
        rest = u - times_vector(whitened, y)
        of_rest = standard_log_prob(rest, batch_dims=self.batch_dims)  # with the constant
        of_factor = per_datapoint(0.5 * y * y, self.batch_dims)
        return of_rest - of_factor - self._half_log_det(cholesky)

    def entropy(self) -> Tensor:
        _, gram = self._whitened(accumulation_dtype(self.tensors))
        elements = self.mu.shape[self.batch_dims :].numel()
        half_log_det = self._half_log_det(_capacitance_cholesky(gram))
        return half_log_det + elements * ENTROPY_OF_STANDARD

    def closed_form_kl(self, prior: AnyPrior) -> Tensor | None:
        to = diagonal_prior(prior)
        if to is None:
            return None
        wide = accumulation_dtype((*self.tensors, to.mu, to.logvar))
        v = in_scale("logvar", self.logvar, self.scale).to(wide)
        w = None if to.logvar is None else in_scale("logvar", to.logvar, to.scale).to(wide)
        of_diagonal = gaussian_kl(self.mu, v, to.mu, w, batch_dims=self.batch_dims)
        whitened, gram = self._whitened(wide)
        excess = torch.expm1(v if w is None else v - w)
        elements = 0.5 * excess * whitened.square().sum(-1)
        return (
            of_diagonal
            + per_datapoint(elements, self.batch_dims)
            + per_datapoint(_half_trace_less_log_det(gram), self.batch_dims).to(wide)
        )

    def map(self, function: Callable[[Tensor], Tensor], added_dims: int = 0) -> LowRankGaussian:
        options: dict[str, Any] = {"scale": self.scale, "batch_dims": self.batch_dims + added_dims}
        return LowRankGaussian(*(function(t) for t in self.tensors), **options)

    def _whitened(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """A [..., D, R] and A^T A [..., R, R]."""
        inverse = inverse_std(self.logvar.to(dtype), self.scale)
        whitened = self.factor.to(dtype) * inverse.unsqueeze(-1)
        return whitened, product(whitened.mT, whitened)

    def _half_log_det(self, cholesky: Tensor) -> Tensor:
        """Of W W^T + S."""
        s = self.logvar.to(accumulation_dtype(self.tensors))
        of_capacitance = diagonal_of(cholesky).log().sum(-1)
        return per_datapoint(log_std(s, self.scale), self.batch_dims) + per_datapoint(
            of_capacitance, self.batch_dims
        ).to(s.dtype)


def _capacitance_cholesky(gram: Tensor) -> Tensor:
    """Of I + A^T A, in float64: it is R x R only, and would lose a small gram otherwise. It is
    positive definite, so that no error has to be waited for."""
    unit = torch.eye(gram.shape[-1], dtype=torch.float64, device=gram.device)
    return torch.linalg.cholesky_ex(gram.double() + unit)[0]


def _half_trace_less_log_det(gram: Tensor) -> Tensor:
    """(tr G - log |I + G|) / 2, which is not negative."""
    half_log_det = diagonal_of(_capacitance_cholesky(gram)).log().sum(-1)
    return 0.5 * diagonal_of(gram.double()).sum(-1) - half_log_det
