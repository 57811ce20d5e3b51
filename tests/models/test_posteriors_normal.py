"""The class in the place of torch.distributions.Normal."""

from __future__ import annotations

import pytest
import torch
from loss_problem import F64, normal
from torch import Tensor
from torch.distributions import Independent, TransformedDistribution, kl_divergence
from torch.distributions import Normal as TorchNormal
from torch.distributions.transforms import ExpTransform
from torch.utils._python_dispatch import TorchDispatchMode

import vaekern as vk
from vaekern.posteriors import Normal


def parameters(seed: int = 0) -> tuple[Tensor, Tensor]:
    scale = normal(3, 4, seed=seed + 1).exp().requires_grad_()
    return normal(3, 4, seed=seed).requires_grad_(), scale


def test_samples_are_those_of_the_library() -> None:
    loc, scale = parameters()
    d = Normal(loc, scale)
    torch.manual_seed(3)
    z = d.rsample()
    torch.manual_seed(3)
    assert torch.equal(z, vk.reparameterize(loc, scale, scale="std"))
    torch.manual_seed(3)
    still = d.sample()
    assert torch.equal(still, z)
    assert not still.requires_grad
    many = Normal(loc, scale).rsample((5, 2))
    assert many.shape == (5, 2, 3, 4)
    eps = (many.detach() - loc) / scale
    grads = torch.autograd.grad(many.sum(), (loc, scale))
    expected = (torch.full_like(loc, 10.0), eps.sum((0, 1)))
    torch.testing.assert_close(grads, expected)
    assert Normal(0.0, 1.0).rsample().shape == ()
    assert Normal(torch.zeros(3), 1.0).expand((2, 3)).sample().shape == (2, 3)
    assert type(Normal(0.0, 1.0).expand((2,))) is Normal


def test_densities_and_statistics_are_those_of_torch() -> None:
    loc, scale = parameters()
    ours, theirs = Normal(loc, scale), TorchNormal(loc, scale)
    value = normal(2, 3, 4, seed=7)
    torch.testing.assert_close(ours.log_prob(value), theirs.log_prob(value))
    torch.testing.assert_close(
        Independent(ours, 1).log_prob(value), Independent(theirs, 1).log_prob(value)
    )
    for name in ("mean", "stddev", "variance"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    assert torch.equal(ours.entropy(), theirs.entropy())
    wrapped = [TransformedDistribution(d, ExpTransform()) for d in (ours, theirs)]
    torch.testing.assert_close(*[w.log_prob(value.exp()) for w in wrapped])
    with pytest.raises(ValueError, match="support"):
        Normal(loc, scale, validate_args=True).log_prob(torch.full((3, 4), torch.nan))
    with pytest.raises(ValueError, match="scale"):
        Normal(0.0, -1.0, validate_args=True)


class Kernels(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        if func.namespace == "vaekern":
            self.names.append(func._schema.name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("first", "second"), [(Normal, Normal), (Normal, TorchNormal),
                                               (TorchNormal, Normal)])  # fmt: skip
def test_divergences(first: type[TorchNormal], second: type[TorchNormal]) -> None:
    (a, b), (c, d) = parameters(), parameters(4)
    expected = kl_divergence(TorchNormal(a, b), TorchNormal(c, d))
    with Kernels() as kernels:
        found = kl_divergence(first(a, b), second(c, d))
    assert kernels.names == ["vaekern::gaussian_kl"]
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found.sum(), (a, b, c, d)),
        torch.autograd.grad(expected.sum(), (a, b, c, d)),
    )
    nested = kl_divergence(Independent(first(a, b), 1), Independent(second(c, d), 1))
    torch.testing.assert_close(nested, expected.sum(1))


def test_shapes_that_broadcast_and_what_no_kernel_takes() -> None:
    loc, scale = parameters()
    unit = Normal(torch.zeros((), dtype=F64), torch.ones((), dtype=F64))
    expected = kl_divergence(TorchNormal(loc, scale), TorchNormal(0.0, 1.0))
    torch.testing.assert_close(kl_divergence(Normal(loc, scale), unit), expected)
    meta = Normal(loc.detach().to("meta"), scale.detach().to("meta"), validate_args=False)
    assert kl_divergence(meta, unit).is_meta  # scalars of the CPU go with any device
    assert torch.equal(Normal(0.0, 1.0, validate_args=False).log_prob(0.0),  # type: ignore[arg-type]
                       TorchNormal(0.0, 1.0).log_prob(torch.zeros(())))  # fmt: skip
