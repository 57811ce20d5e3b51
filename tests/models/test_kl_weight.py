"""The weight of the KL divergence that a model is handed: warm-up reaches it, whatever becomes of
the modules."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vaekern as vk
from vaekern import objectives

PIXELS, LATENT = 6, 3


class Encoder(nn.Linear):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = super().forward(x).chunk(2, dim=-1)
        return mu, logvar


def networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return Encoder(PIXELS, 2 * LATENT), nn.Linear(LATENT, PIXELS)


# --- the weight of the KL divergence --------------------------------------------------------------


def weight_of(model: vk.VAE, x: Tensor) -> float:
    out = model(x, seed=1)
    return ((out.loss + out.log_likelihood.mean()) / out.kl.mean()).item()


X = torch.rand(5, PIXELS, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("ends", [(0, 1), (0.0, 1.0), (1, 0)])
@pytest.mark.parametrize("given", ["module", "tensor"])
def test_warmup_in_a_model(ends: tuple[float, float], given: str) -> None:
    warmup = objectives.KLWarmup(10, start=ends[0], stop=ends[1])
    model = vk.VAE(*networks(), beta=warmup if given == "module" else warmup.beta)
    for step in range(1, 11):
        warmup.step()
        want = ends[0] + (ends[1] - ends[0]) * step / 10
        assert weight_of(model, X) == pytest.approx(want, abs=1e-4)


@pytest.mark.parametrize("given", ["module", "tensor"])
@pytest.mark.parametrize("moved", [lambda m: m.double(), lambda m: m.to(torch.float64)])
def test_warmup_reaches_the_model_after_a_move(given: str, moved: Any) -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.warmup = objectives.KLWarmup(4)
            self.vae = vk.VAE(
                *networks(), beta=self.warmup if given == "module" else self.warmup.beta
            )

    both = moved(Both())
    both.warmup.step()
    assert both.warmup.beta.dtype is torch.float64
    assert weight_of(both.vae, X.double()) == pytest.approx(0.25)


def test_warmup_is_a_part_of_the_model() -> None:
    model = vk.VAE(*networks(), beta=objectives.KLWarmup(4))
    model.beta.step()
    again = vk.VAE(*networks(), beta=objectives.KLWarmup(4))
    again.load_state_dict(model.state_dict())
    for other in (again, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        other.beta.step()
        assert weight_of(other, X) == pytest.approx(0.5, abs=1e-4)
    assert weight_of(model, X) == pytest.approx(0.25, abs=1e-4)


def test_warmup_on_the_meta_device() -> None:
    with torch.device("meta"):
        warmup = objectives.KLWarmup(4)
    handed_out = warmup.to_empty(device="cpu").beta
    assert not handed_out.is_meta


def test_a_learned_weight_is_trained() -> None:
    model = vk.VAE(*networks(), beta=nn.Parameter(torch.ones(())))
    model(X).loss.backward()
    assert dict(model.named_parameters())["beta"].grad is not None


@pytest.mark.parametrize(
    "beta",
    ["1", None, True, torch.ones(2), torch.tensor(1), objectives.KLWarmup, [1.0]],
    ids=["str", "none", "bool", "vector", "integer", "class", "list"],
)
def test_a_weight_that_is_none_is_refused_at_once(beta: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^beta: expected"):
        vk.VAE(*networks(), beta=beta)


@pytest.mark.parametrize("name", ["start", "stop", "ramp_steps", "period"])
def test_warmup_of_what_is_no_number(name: str) -> None:
    options: dict[str, Any] = {"ramp_steps": 4, name: nn.Parameter(torch.ones(()))}
    with pytest.raises(TypeError, match=f"^{name}: expected a number, got Parameter"):
        objectives.KLWarmup(**options)
