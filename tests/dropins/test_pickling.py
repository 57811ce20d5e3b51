"""Drop-ins are pickled and copied, under their patches too."""

from __future__ import annotations

import copy
import importlib
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

from vaekern import compat, posteriors

AGAIN: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


def parameters_of(name: str) -> torch.Tensor:
    """Of images, and of sounds."""
    return torch.randn(2, 8, 4) if name.startswith("Oobleck") else torch.randn(2, 8, 4, 4)


again = pytest.mark.parametrize("way", AGAIN)


@again
@pytest.mark.filterwarnings("ignore:kl.. of diffusers' Oobleck")  # said once
@pytest.mark.parametrize("noise", ["torch", "fused"])
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("diffusers.models.autoencoders.vae", "DiagonalGaussianDistribution"),
        (
            "diffusers.models.autoencoders.autoencoder_oobleck",
            "OobleckDiagonalGaussianDistribution",
        ),
    ],
)
def test_under_the_patch_of_diffusers(module: str, name: str, noise: Any, way: str) -> None:
    pytest.importorskip("diffusers")
    with compat.patch_diffusers(noise):
        kind = getattr(importlib.import_module(module), name)
        distribution = kind(parameters_of(name))
        found = AGAIN[way](distribution)
        assert type(found) is kind
        torch.testing.assert_close(found.kl(), distribution.kl())
        torch.manual_seed(0)
        sample = distribution.sample()
        torch.manual_seed(0)
        assert torch.equal(found.sample(), sample)
        stored = pickle.dumps(distribution)
    found = pickle.loads(stored)  # where nothing is patched
    assert type(found) is getattr(compat, name)
    torch.manual_seed(0)
    assert torch.equal(found.sample(), sample)


@again
@pytest.mark.filterwarnings("ignore:kl.. of diffusers' Oobleck")
def test_diffusers_unpatched(way: str) -> None:
    for kind in (compat.DiagonalGaussianDistribution, compat.OobleckDiagonalGaussianDistribution):
        distribution = kind(parameters_of(kind.__name__))
        torch.testing.assert_close(AGAIN[way](distribution).kl(), distribution.kl())


@again
def test_under_the_patch_of_distributions(way: str) -> None:
    normal = torch.distributions.Normal(torch.randn(3), torch.ones(3))
    with compat.distributions():
        for distribution in (normal, torch.distributions.Independent(normal, 1)):
            found = AGAIN[way](distribution)
            assert torch.equal(found.log_prob(torch.ones(3)), distribution.log_prob(torch.ones(3)))
        function = AGAIN[way](torch.distributions.kl_divergence)
        assert torch.equal(function(normal, normal), torch.zeros(3))


@again
def test_the_normal_of_posteriors(way: str) -> None:
    normal = posteriors.Normal(torch.randn(3), torch.ones(3))
    found = AGAIN[way](normal)
    assert type(found) is posteriors.Normal
    assert torch.equal(found.log_prob(torch.ones(3)), normal.log_prob(torch.ones(3)))
