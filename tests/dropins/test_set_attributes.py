"""Posteriors of diffusers whose attributes somebody sets: what depends on them depends on them."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from agreement import normal
from torch import Tensor

pytest.importorskip("diffusers", reason="pip install diffusers")

from vaekern import compat

pytestmark = pytest.mark.filterwarnings("ignore:kl")  # of Oobleck's

NAMES = {
    "DiagonalGaussianDistribution": "diffusers.models.autoencoders.vae",
    "OobleckDiagonalGaussianDistribution": "diffusers.models.autoencoders.autoencoder_oobleck",
}


def halved(attribute: str) -> Callable[[Any], None]:
    return lambda posterior: setattr(posterior, attribute, 0.5 * getattr(posterior, attribute))


def deviations_halved(posterior: Any) -> None:
    posterior.std = 0.5 * posterior.std
    posterior.var = posterior.std**2


EDITS: dict[str, Callable[[Any], None]] = {
    "none": lambda _: None,
    **{attribute: halved(attribute) for attribute in ("mean", "std", "var", "logvar")},
    "std and var": deviations_halved,
}


def drawn(posterior: Any) -> Tensor:
    return posterior.sample(torch.Generator().manual_seed(3))


def uses(name: str, other: Any) -> dict[str, Callable[[Any], Tensor]]:
    found = {
        "sample": drawn,
        "mode": lambda posterior: posterior.mode(),
        "kl": lambda posterior: posterior.kl(),
        "kl to another": lambda posterior: posterior.kl(other),
        "kl of another": lambda posterior: other.kl(posterior),
    }
    if hasattr(other, "nll"):
        found["nll"] = lambda posterior: posterior.nll(torch.ones_like(posterior.mean))
    return found


@pytest.mark.parametrize("again", [lambda made: made, copy.deepcopy], ids=["itself", "copied"])
@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("name", NAMES)
def test_edited(name: str, edit: str, again: Callable[[Any], Any]) -> None:
    shape = (2, 8, 5) if name.startswith("Oobleck") else (2, 8, 4, 5)
    kinds = getattr(importlib.import_module(NAMES[name]), name), getattr(compat, name)
    results = []
    for kind in kinds:
        parameters = normal(*shape)
        posterior, other = kind(parameters), kind(normal(*shape, seed=1))
        EDITS[edit](posterior)
        posterior = again(posterior)
        found = {use: f(posterior) for use, f in uses(name, other).items()}
        for attribute in ("mean", "std", "var", "logvar"):
            found[attribute] = getattr(posterior, attribute)
        results.append(found)
    theirs, ours = results
    for use, want in theirs.items():
        torch.testing.assert_close(ours[use], want, msg=lambda text, use=use: f"{use}: {text}")


@pytest.mark.parametrize("noise", ["torch", "fused"])
def test_subclass_that_sets_deviations(noise: Any) -> None:
    module = importlib.import_module(NAMES["DiagonalGaussianDistribution"])

    def found() -> list[Tensor]:
        class Scaled(module.DiagonalGaussianDistribution):  # type: ignore[name-defined, misc]
            def __init__(self, parameters: Tensor) -> None:
                super().__init__(parameters)
                self.std = 0.0 * self.std
                self.var = self.std**2 + 2.0

        posterior = Scaled(normal(2, 8, 4, 4))
        return [drawn(posterior), posterior.kl(), posterior.nll(posterior.mean)]

    want = found()
    with compat.patch_diffusers(noise):
        got = found()
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)
