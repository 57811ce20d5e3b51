"""The decomposition of the KL divergence that beta-TC-VAE weighs, in little memory."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from vaekern._backends.launch import accumulation_dtype
from vaekern._backends.plain import deviations, inverse_std, log_variance
from vaekern._checks import check_count, check_like
from vaekern._ops.call import Clamp, clamp_logvar
from vaekern.functional import gaussian_log_likelihood

_ELEMENTS_AT_A_TIME = 2**20  # some MiB for each of a few temporaries
_LOG_2_PI = math.log(2.0 * math.pi)


class KLDecomposition(NamedTuple):
    """Estimates of the three parts, one per datapoint, in nats."""

    mutual_information: Tensor
    total_correlation: Tensor
    dimensionwise_kl: Tensor


def decomposed_kl(
    z: Tensor,
    mu: Tensor,
    logvar: Tensor,
    dataset_size: int,
    *,
    chunk_size: int | None = None,
    scale: str = "logvar",
    logvar_clamp: Clamp | None = None,
    batch_dims: int = 1,
) -> KLDecomposition:
    r"""The parts of KL(q(z | x) || N(0, 1)), averaged over the data, from one sample of each.

    .. math::
        \log \frac{q(z|x)}{q(z)} + \log \frac{q(z)}{\prod_j q(z_j)}
        + \sum_j \log \frac{q(z_j)}{p(z_j)}

    mutual information, total correlation and dimension-wise KL divergence (Chen et al. 2018,
    eq. 2), with the aggregate posterior estimated from the minibatch of size M, for a data set of
    size N, by minibatch-weighted sampling (their section 3.1):

    .. math:: q(z_i) \approx \frac1{NM} \sum_k q(z_i \mid x_k)

    and likewise for each :math:`q(z_{ij})`. The sum of the three is log q(z | x) - log p(z). The
    sums over k run over chunks, forward and backward: beyond the inputs, memory is that of one
    chunk. The loss of beta-TC-VAE is minus the mean of log p(x | z) - a * mutual_information -
    b * total_correlation - c * dimensionwise_kl.

    Args:
        z: one sample of each posterior [*batch, *latent]. Gets gradients.
        mu, logvar: the posteriors' parameters, the shape of ``z``. Get gradients, also as the
            aggregate's.
        dataset_size: N.
        chunk_size: how many posteriors are compared with all samples at a time; by default as many
            as make about a million numbers.
        scale: what ``logvar`` holds: ``"logvar"``, ``"log_std"`` or ``"std"``.
        logvar_clamp: bounds for the log-variance.
        batch_dims: how many leading dimensions index datapoints.

    Returns:
        The three parts, each of the shape ``z.shape[:batch_dims]``; float32 for half precision.

    Raises:
        ValueError: shapes or devices differ, a number is below 1, or ``dataset_size`` below that
            of the datapoints.
        TypeError: an argument is no floating-point tensor.
    """
    dataset_size = check_count("dataset_size", dataset_size)
    chunk_size = None if chunk_size is None else check_count("chunk_size", chunk_size)
    # These check the arguments too.
    log_posterior = gaussian_log_likelihood(
        mu, z, logvar, scale=scale, logvar_clamp=logvar_clamp, batch_dims=batch_dims
    )
    log_prior = gaussian_log_likelihood(z.new_zeros(()).expand(z.shape), z, batch_dims=batch_dims)
    check_like("logvar", logvar, "mu", mu)
    wide = accumulation_dtype((z, mu, logvar))
    variance = log_variance(clamp_logvar(logvar, scale, logvar_clamp).to(wide), scale)
    batch, number = z.shape[:batch_dims], z.shape[:batch_dims].numel()
    if dataset_size < number:
        raise ValueError(
            f"dataset_size: expected at least the {number} datapoints given, got {dataset_size}"
        )
    flat = [t.to(wide).reshape(number, z.shape[batch_dims:].numel()) for t in (z, mu, variance)]
    size = chunk_size or max(1, _ELEMENTS_AT_A_TIME // max(1, z.numel()))
    joint, marginals = _LogSumDensities.apply(*flat, size)
    log_pairs = math.log(dataset_size) + math.log(max(1, number))
    log_joint = (joint - log_pairs).reshape(batch)
    log_product = (marginals.double() - log_pairs).sum(1).reshape(batch)
    parts = log_posterior - log_joint, log_joint - log_product, log_product - log_prior
    return KLDecomposition(*[part.to(wide) for part in parts])


class _LogSumDensities(Function):
    """For samples z [B, D] and posteriors (mu, v) [B, D], with densities q_ikd of sample i under
    posterior k in dimension d: log sum_k prod_d q_ikd [B], in float64 as sums over many
    dimensions are large, and log sum_k q_ikd [B, D]."""

    @staticmethod
    def forward(z: Tensor, mu: Tensor, v: Tensor, chunk_size: int) -> tuple[Tensor, Tensor]:
        joint = z.new_full(z.shape[:1], -math.inf, dtype=torch.float64)
        marginals = torch.full_like(z, -math.inf)
        for m, w in zip(mu.split(chunk_size), v.split(chunk_size), strict=True):
            _, _, log_q = _log_densities(z, m, w)
            joint = torch.logaddexp(joint, log_q.sum(2, dtype=joint.dtype).logsumexp(1))
            marginals = torch.logaddexp(marginals, log_q.logsumexp(1))
        return joint, marginals

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        *tensors, ctx.chunk_size = inputs
        ctx.save_for_backward(*tensors, *output)

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, *inputs: Any
    ) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
        """One after the other: each takes the memory that there is for one."""
        found = [
            _LogSumDensities.apply(
                *[
                    value if dim is None else value.select(dim, k)
                    for value, dim in zip(inputs, in_dims, strict=True)
                ]
            )
            for k in range(info.batch_size)
        ]
        joint, marginals = zip(*found, strict=True)
        return (torch.stack(joint), torch.stack(marginals)), (0, 0)

    @staticmethod
    def backward(ctx: Any, g_joint: Tensor, g_marginals: Tensor) -> Any:
        z, mu, v, joint, marginals = ctx.saved_tensors
        d_z, d_mu, d_v = torch.zeros_like(z), [], []
        for m, w in zip(mu.split(ctx.chunk_size), v.split(ctx.chunk_size), strict=True):
            deviation, inverse, log_q = _log_densities(z, m, w)
            share = torch.exp(log_q.sum(2, dtype=joint.dtype) - joint[:, None]) * g_joint[:, None]
            d_log_q = torch.exp(log_q - marginals[:, None]) * g_marginals[:, None]
            d_log_q = d_log_q + share[..., None].to(z.dtype)
            # What has no share has no gradient, however far off; nor has the middle of the peak.
            deviation = torch.where(d_log_q == 0, 0.0, deviation)
            pull = d_log_q * deviation
            d_m = pull * torch.where(pull == 0, 0.0, inverse)
            d_z = d_z - d_m.sum(1)  # not in place: vmap may run over one of them alone
            d_mu.append(d_m.sum(0))
            d_v.append(0.5 * (pull * deviation - d_log_q).sum(0))
        return d_z, torch.cat(d_mu), torch.cat(d_v), None


def _log_densities(z: Tensor, mu: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(z - mu) / std [B, K, D], 1 / std [K, D] and the log-densities [B, K, D] of B samples under
    K posteriors."""
    deviation = deviations(z[:, None], mu, v, "logvar")
    log_q = -0.5 * (deviation * deviation + v + _LOG_2_PI)
    return deviation, inverse_std(v, "logvar"), log_q
