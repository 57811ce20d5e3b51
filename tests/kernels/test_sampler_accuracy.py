"""Ulps of samples of categoricals and of their gradients, against the same formula in float64."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import vaekern as vk
from vaekern._backends.plain import gumbel

#: Of a share of a softmax: its exponential, the sum and the division; of a gradient, of its terms,
#: also the sum of those.
ULPS = 7.0

SMALLEST_NORMAL = 2.0**-126


def errors(got: Tensor, want: Tensor, size: Tensor) -> Tensor:
    """In ulps of ``size``."""
    exponent = torch.floor(torch.log2(size.clamp(min=SMALLEST_NORMAL)))
    return (got.double() - want).abs() / torch.exp2(exponent - 23)


def slopes(share: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """share (g - sum of share g), and the size of its terms."""
    want = share * (g - (share * g).sum(-1, keepdim=True))
    return want, share * (g.abs() + (share * g.abs()).sum(-1, keepdim=True))


@pytest.fixture(params=[(classes, spread) for classes in (2, 3, 40) for spread in (1.0, 20.0)])
def logits(request: pytest.FixtureRequest) -> Tensor:
    classes, spread = request.param
    return spread * torch.randn(500, classes)


@pytest.mark.parametrize("unimix", [0.0, 0.01])
def test_gradients_of_one_hot_samples(logits: Tensor, unimix: float, isa: str) -> None:
    g = torch.randn_like(logits)
    z = vk.sample_categorical(logits.requires_grad_(), unimix=unimix, seed=1)
    (got,) = torch.autograd.grad(z, logits, g)
    want, size = slopes(logits.detach().double().softmax(-1), g.double())
    kept = 1.0 - unimix
    assert errors(got, kept * want, kept * size).max() <= ULPS


@pytest.mark.parametrize("temperature", [0.1, 0.7, 2.0])
def test_relaxed_samples_and_their_gradients(logits: Tensor, temperature: float, isa: str) -> None:
    """An exponent is off by an ulp of what it is a difference of: of how far logits are from the
    largest, and of the noise, of this class and of the one that is chosen."""
    g = torch.randn_like(logits)
    y = vk.gumbel_softmax(logits.requires_grad_(), temperature, seed=1)
    (got,) = torch.autograd.grad(y, logits, g)
    wide = logits.detach().double()
    noise = gumbel(torch.tensor([1, 0]), logits.shape, torch.float64)
    z = (wide + noise) / temperature
    share = z.softmax(-1)
    distance = (wide.amax(-1, keepdim=True) - wide + noise.abs()) / temperature
    units = 1.0 + distance + distance.gather(-1, z.argmax(-1, keepdim=True))
    normal = share > SMALLEST_NORMAL
    assert (errors(y.detach(), share, share) / units)[normal].max() <= ULPS
    want, size = (t / temperature for t in slopes(share, g.double()))
    of_mean = (share * distance).sum(-1, keepdim=True)
    assert (errors(got, want, size) / (units + of_mean))[normal].max() <= ULPS
