"""``patch_diffusers``: what it changes, that it can be undone, and a whole AutoencoderKL."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from agreement import normal
from torch import Tensor

vae = pytest.importorskip("diffusers.models.autoencoders.vae", reason="pip install diffusers")

from diffusers import AutoencoderKL  # noqa: E402 - after the skip
from diffusers.models.autoencoders import autoencoder_kl  # noqa: E402

from vaekern.compat import DiagonalGaussianDistribution, patch_diffusers  # noqa: E402

NAME = "DiagonalGaussianDistribution"
PLACES = (vae, autoencoder_kl)


def in_place() -> list[Any]:
    return [vars(module)[NAME] for module in PLACES]


def test_block_and_call() -> None:
    before = in_place()
    with patch_diffusers():
        assert all(issubclass(found, DiagonalGaussianDistribution) for found in in_place())
    assert in_place() == before
    patch = patch_diffusers()
    assert in_place() != before
    patch.undo()
    patch.undo()  # nothing left to undo
    assert in_place() == before


def test_undone_after_an_error() -> None:
    before = in_place()
    with pytest.raises(ZeroDivisionError), patch_diffusers():
        _ = 1 / 0
    assert in_place() == before


def test_nested() -> None:
    before = in_place()
    with patch_diffusers():
        outer = in_place()
        with patch_diffusers(noise="fused"):
            assert vae.DiagonalGaussianDistribution.noise == "fused"
        assert in_place() == outer
        assert vae.DiagonalGaussianDistribution.noise == "torch"
    assert in_place() == before


def test_imports_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module imported while the patch is in effect gets the original back; one that wants the
    drop-in itself keeps it."""
    original = vae.DiagonalGaussianDistribution
    with patch_diffusers():
        monkeypatch.setitem(globals(), "imported_late", vae.DiagonalGaussianDistribution)
        assert globals()["imported_late"] is not original
    assert globals()["imported_late"] is original
    assert DiagonalGaussianDistribution is not original


def test_unknown_noise() -> None:
    with pytest.raises(ValueError, match="noise: expected one of"):
        patch_diffusers(noise="torch.randn")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model() -> AutoencoderKL:
    torch.manual_seed(0)
    blocks = {"block_out_channels": (8, 8), "norm_num_groups": 4}
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        **blocks,
    ).double()


def step(model: AutoencoderKL, images: Tensor) -> tuple[type, list[Tensor]]:
    """A training step as latent diffusion's: reconstruction and weighted KL."""
    torch.manual_seed(1)
    posterior = model.encode(images).latent_dist
    reconstruction = model.decode(posterior.sample()).sample
    kl = posterior.kl()
    loss = (images - reconstruction).square().sum() / 2 + 1e-2 * kl.sum() / kl.shape[0]
    return type(posterior), [loss, *torch.autograd.grad(loss, list(model.parameters()))]


def test_training_step_of_autoencoder_kl(model: AutoencoderKL) -> None:
    images = normal(2, 3, 16, 16)
    used, want = step(model, images)
    assert not issubclass(used, DiagonalGaussianDistribution)
    with patch_diffusers():
        used, got = step(model, images)
    assert issubclass(used, DiagonalGaussianDistribution)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)


def test_forward_of_autoencoder_kl(model: AutoencoderKL) -> None:
    """With a generator, and deterministically."""
    images = normal(2, 3, 16, 16)
    for sample_posterior in (True, False):
        found = []
        for patched in (False, True):
            generator = torch.Generator().manual_seed(5)
            with patch_diffusers() if patched else torch.no_grad():
                found.append(model(images, sample_posterior, generator=generator).sample)
        torch.testing.assert_close(*found)


def test_without_diffusers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, vae.__name__, None)
    with pytest.raises(ImportError, match="diffusers"):
        patch_diffusers()
