"""Every posterior of the installed diffusers has a drop-in, or needs none; that of MiniMax-H3's
audio autoencoder against the original."""

from __future__ import annotations

import ast
import importlib
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from agreement import DTYPES, check_agreement, normal
from torch import Tensor

diffusers = pytest.importorskip("diffusers", reason="pip install diffusers")

import vaekern as vk  # noqa: E402 - after the skip
from vaekern import compat  # noqa: E402
from vaekern.compat import MiniMaxH3AudioDiagonalGaussianDistribution as Ours  # noqa: E402
from vaekern.compat.diffusers import _REPLACED  # noqa: E402

#: Without noise or divergence: there is nothing to compute.
NONE_NEEDED = {"IdentityDistribution"}


def posteriors() -> set[str]:
    """The names of all classes with ``sample`` and ``mode``."""
    found = set()
    for path in Path(diffusers.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "def mode(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                methods = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
                if {"sample", "mode"} <= methods:
                    found.add(node.name)
    return found


def test_all_have_drop_ins() -> None:
    found = posteriors()
    assert "DiagonalGaussianDistribution" in found
    assert found - NONE_NEEDED <= {drop_in.__name__ for _, drop_in in _REPLACED}


def test_all_are_replaced() -> None:
    """Where their modules are, and wherever a module of diffusers has imported them."""
    for module, drop_in in _REPLACED:
        if drop_in.__name__ in posteriors():
            home = importlib.import_module(module)
            original = getattr(home, drop_in.__name__)
            with compat.patch_diffusers():
                assert issubclass(getattr(home, drop_in.__name__), drop_in)
            assert getattr(home, drop_in.__name__) is original


def test_what_an_older_version_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = "diffusers.models.autoencoders.autoencoder_kl_minimax_h3_audio"
    monkeypatch.setitem(sys.modules, missing, None)
    vae = importlib.import_module("diffusers.models.autoencoders.vae")
    with compat.patch_diffusers():
        assert issubclass(vae.DiagonalGaussianDistribution, compat.DiagonalGaussianDistribution)


# --- MiniMax-H3's --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original() -> Any:
    name = "diffusers.models.autoencoders.autoencoder_kl_minimax_h3_audio"
    return pytest.importorskip(name, reason="this diffusers is older", exc_type=ImportError)


SHAPE = (3, 4, 5)


def parameters() -> list[Tensor]:
    return [normal(*SHAPE), 0.5 * normal(*SHAPE, seed=1)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_samples(original: Any, dtype: torch.dtype) -> None:
    theirs = original.MiniMaxH3AudioDiagonalGaussianDistribution

    def drawn(kind: Any) -> Any:
        def sample(mean: Tensor, logs: Tensor) -> tuple[Tensor, ...]:
            posterior = kind(mean, logs)
            # The same numbers in every dtype.
            eps = normal(*SHAPE, seed=2).to(dtype)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(torch, "randn", lambda *_, **how: eps.to(how["dtype"]))
                return posterior.sample(), posterior.mode() * 1.0

        return sample

    check_agreement(drawn(Ours), drawn(theirs), parameters(), dtype)
    logs = parameters()[1:]
    check_agreement(lambda t: Ours(t, t).std, lambda t: theirs(t, t).std, logs, dtype)


def test_generators(original: Any) -> None:
    """One, or one for each datapoint."""
    tensors = [tensor.float() for tensor in parameters()]
    for count in (1, SHAPE[0]):
        found = []
        for kind in (Ours, original.MiniMaxH3AudioDiagonalGaussianDistribution):
            generators = [torch.Generator().manual_seed(seed) for seed in range(count)]
            found.append(kind(*tensors).sample(generators if count > 1 else generators[0]))
        torch.testing.assert_close(*found)


@pytest.mark.parametrize("attribute", ["mean", "logs", "std"])
def test_attributes_that_are_set(original: Any, attribute: str) -> None:
    """Samples use ``mean`` and ``std``, whatever has become of ``logs``."""
    found = []
    for kind in (Ours, original.MiniMaxH3AudioDiagonalGaussianDistribution):
        posterior = kind(*parameters())
        setattr(posterior, attribute, 0.5 * getattr(posterior, attribute))
        sample = posterior.sample(torch.Generator().manual_seed(3))
        found.append([sample, posterior.mode(), posterior.logs, posterior.std])
    torch.testing.assert_close(*found)


def test_its_divergence() -> None:
    """By the call that its documentation names."""
    posterior = Ours(*parameters())
    kl = vk.gaussian_kl(posterior.mean, posterior.logs, scale="log_std")
    want = vk.gaussian_kl(posterior.mean, 2.0 * posterior.logs)
    torch.testing.assert_close(kl, want)


def test_noise_inside_the_kernel() -> None:
    class Fused(Ours):
        noise = "fused"

    zeros = torch.zeros(4, 64, 64)
    samples = [
        Fused(zeros, zeros).sample(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    ]
    assert torch.equal(samples[0], samples[1])
    assert not torch.equal(samples[0], samples[2])
    assert abs(samples[0].std().item() - 1.0) < 0.05


@pytest.mark.usefixtures("original")
@pytest.mark.parametrize("noise", ["torch", "fused"])
def test_pickled_under_the_patch(noise: Any) -> None:
    home = importlib.import_module("diffusers.models.autoencoders.autoencoder_kl_minimax_h3_audio")
    with compat.patch_diffusers(noise):
        kind = home.MiniMaxH3AudioDiagonalGaussianDistribution
        posterior = kind(*parameters())
        stored = pickle.dumps(posterior)
        assert type(pickle.loads(stored)) is kind
    again = pickle.loads(stored)  # where nothing is patched
    assert type(again) is Ours
    samples = [of.sample(torch.Generator().manual_seed(5)) for of in (posterior, again)]
    assert torch.equal(*samples)
