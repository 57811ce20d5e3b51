"""scvi-tools' loss inside ``with distributions():``.

The package brings a hundred others, so its formula is repeated here: ``VAE.loss`` of
``src/scvi/module/_vae.py`` (August 2026), which imports ``kl_divergence`` from torch.distributions
and whose encoders return its Normals. Reconstructions are Gaussian (``gene_likelihood="normal"``);
the count likelihoods are those of test_scvi_counts.py.
"""

from __future__ import annotations

import pytest
import torch
from agreement import DTYPES, check_agreement, normal
from torch import Tensor
from torch.distributions import Normal

from vaekern.compat import distributions

KL_WEIGHT = 0.3


def loss(
    qz_m: Tensor, ql_m: Tensor, px_m: Tensor, qz_s: Tensor, ql_s: Tensor, px_s: Tensor
) -> tuple[Tensor, ...]:
    from torch.distributions import kl_divergence  # where scvi-tools imports it, too

    x = torch.ones_like(px_m)
    prior = Normal(torch.zeros_like(qz_m), torch.ones_like(qz_m))
    kl_z = kl_divergence(Normal(qz_m, qz_s), prior).sum(dim=-1)
    library = Normal(torch.full_like(ql_m, 0.5), torch.full_like(ql_s, 2.0))
    kl_l = kl_divergence(Normal(ql_m, ql_s), library).sum(dim=1)
    reconstruction = -Normal(px_m, px_s).log_prob(x).sum(-1)
    total = torch.mean(reconstruction + KL_WEIGHT * kl_z + kl_l)
    return total, reconstruction, kl_z, kl_l


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss(dtype: torch.dtype, kernels_called: list[str]) -> None:
    def inside(*tensors: Tensor) -> tuple[Tensor, ...]:
        with distributions():
            return loss(*tensors)

    means = [normal(5, size, seed=size) for size in (4, 1, 30)]
    deviations = [torch.exp(0.5 * normal(5, size, seed=size + 1)) for size in (4, 1, 30)]
    check_agreement(inside, loss, [*means, *deviations], dtype)
    assert kernels_called == ["gaussian_kl", "gaussian_kl", "gaussian_log_likelihood"]
