"""``patch_pythae``: whole models of pythae, with their own losses and with the kernels'."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from agreement import normal, uniform
from torch import Tensor

models = pytest.importorskip("pythae.models", reason="pip install pythae")

from vaekern.compat import _probabilities, patch_pythae, pythae  # noqa: E402 - after the skip

X = uniform(6, 1, 4, 5, seed=4).float()
KINDS: dict[str, dict[str, Any]] = {
    "VAE": {},
    "BetaVAE": {"beta": 3.0},
    "IWAE": {"number_samples": 4},
    "MIWAE": {"number_gradient_estimates": 3, "number_samples": 4},
    "PIWAE": {"number_gradient_estimates": 3, "number_samples": 4},
    "CIWAE": {"number_samples": 4, "beta": 0.3},
    "VAMP": {"number_components": 3},
}
LOSSES = ("mse", "bce")


def model_of(kind: str, reconstruction_loss: str, **options: Any) -> Any:
    """As pythae makes it of a configuration, from the same parameters every time."""
    settings = {"input_dim": (1, 4, 5), "latent_dim": 3, "reconstruction_loss": reconstruction_loss}
    config = getattr(models, f"{kind}Config")(**settings, **KINDS[kind], **options)
    torch.manual_seed(0)
    return getattr(models, kind)(config)


def step(model: Any, data: Tensor = X, **options: Any) -> list[Tensor]:
    """Losses and gradients."""
    torch.manual_seed(1)
    out = model({"data": data}, **options)
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(out.loss, parameters, materialize_grads=True)
    return [out.loss, *_reported(out), *gradients]


def _reported(out: Any) -> list[Tensor]:
    names = [name for name in ("recon_loss", "reconstruction_loss", "reg_loss") if name in out]
    assert len(names) == 2
    return [out[name] for name in names]


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []

    def recorded(module: Any, name: str) -> None:
        original = getattr(module, name)

        def recording(*args: Any, **given: Any) -> Tensor:
            names.append(name)
            return original(*args, **given)

        monkeypatch.setattr(module, name, recording)

    for name in ("gaussian_kl", "gaussian_log_likelihood", "squared_error"):
        recorded(pythae, name)
    recorded(_probabilities, "bernoulli_probs_log_likelihood")
    return names


EXPECTED = {
    "VAE": {"gaussian_kl"},
    "BetaVAE": {"gaussian_kl"},
    "IWAE": {"gaussian_log_likelihood"},
    "MIWAE": {"gaussian_log_likelihood"},
    "PIWAE": {"gaussian_log_likelihood"},
    "CIWAE": {"gaussian_log_likelihood"},
    "VAMP": {"gaussian_log_likelihood"},
}
RECONSTRUCTION = {"mse": "squared_error", "bce": "bernoulli_probs_log_likelihood"}


@pytest.mark.parametrize("reconstruction_loss", LOSSES)
@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_the_same(kind: str, reconstruction_loss: str, kernels: list[str]) -> None:
    model = model_of(kind, reconstruction_loss)
    want = step(model)
    assert not kernels
    with patch_pythae():
        got = step(model)
    assert set(kernels) == EXPECTED[kind] | {RECONSTRUCTION[reconstruction_loss]}
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("reconstruction_loss", LOSSES)
@pytest.mark.parametrize("kind", KINDS)
def test_steps_in_double(kind: str, reconstruction_loss: str) -> None:
    """Without pythae's own roundings."""
    model = model_of(kind, reconstruction_loss).double()
    if kind == "VAMP":
        model.idle_input = model.idle_input.double()  # no buffer there
    want = step(model, X.double())
    with patch_pythae():
        got = step(model, X.double())
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


def test_losses_for_encoder_and_decoder() -> None:
    """PIWAE has one for each, which its trainers may tell apart."""
    found = []
    model = model_of("PIWAE", "mse")
    for patched in (False, True):
        patch = patch_pythae() if patched else None
        torch.manual_seed(1)
        out = model({"data": X})
        found.append([out.encoder_loss, out.decoder_loss])
        if patch is not None:
            patch.undo()
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_ends_of_ciwae(beta: float) -> None:
    config = model_of("CIWAE", "mse").model_config
    config.beta = beta
    torch.manual_seed(0)
    model = models.CIWAE(config)
    want = step(model)
    with patch_pythae():
        torch.testing.assert_close(step(model), want)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("epoch", [2, 10, 50])
def test_warm_up_of_vamp(epoch: int, training: bool) -> None:
    model = model_of("VAMP", "mse", linear_scheduling_steps=10).train(training)
    want = step(model, epoch=epoch)
    with patch_pythae():
        got = step(model, epoch=epoch)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)


def test_prior_of_vamp() -> None:
    """Also by itself, as pythae's own estimates of likelihoods ask for it."""
    model, z = model_of("VAMP", "mse"), normal(6, 3).float()
    want = model._log_p_z(z)
    with patch_pythae():
        torch.testing.assert_close(model._log_p_z(z), want)


def test_own_prior_of_a_subclass_of_vamp() -> None:
    class Standard(models.VAMP):
        def _log_p_z(self, z: Tensor) -> Tensor:
            return -0.5 * z.square().sum(-1)

    torch.manual_seed(0)
    model = Standard(model_of("VAMP", "mse").model_config)
    want = step(model)
    with patch_pythae():
        got = step(model)
    torch.testing.assert_close(got, want)


def state() -> list[object]:
    return [dict(vars(getattr(models, kind))) for kind in KINDS]


def test_undone() -> None:
    before = state()
    with patch_pythae():
        assert state() != before
    assert state() == before
    patch = patch_pythae()
    patch.undo()
    assert state() == before


def test_other_models_keep_theirs() -> None:
    """Their losses are of their own; one that inherits has the kernels'."""
    own = models.INFOVAE_MMD.loss_function

    class Heir(models.BetaVAE):
        pass

    with patch_pythae():
        assert models.INFOVAE_MMD.loss_function is own
        assert Heir.loss_function is models.BetaVAE.loss_function
        assert Heir.loss_function.__module__ == pythae.__name__


@pytest.mark.parametrize("wrong", [1.5, -0.5, torch.nan])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    model = model_of("VAE", "bce")
    recon_x = torch.full((6, 20), 0.5)
    recon_x[1, 2] = wrong
    arguments = recon_x, X, torch.zeros(6, 3), torch.zeros(6, 3), torch.zeros(6, 3)
    with pytest.raises(RuntimeError):
        model.loss_function(*arguments)
    with patch_pythae(), pytest.raises(RuntimeError, match="recon_x: expected probabilities"):
        model.loss_function(*arguments)


def test_bytes_are_no_probabilities() -> None:
    """Nor intensities: refused, as torch does."""
    model = model_of("VAE", "bce")
    zeros = torch.zeros(6, 3)
    for patched in (False, True):
        patch = patch_pythae() if patched else None
        with pytest.raises(RuntimeError):
            model.loss_function(torch.full((6, 20), 0.5), X.byte(), zeros, zeros, zeros)
        if patch is not None:
            patch.undo()


def test_without_pythae(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythae.models", None)
    with pytest.raises(ImportError, match="pythae"):
        patch_pythae()
