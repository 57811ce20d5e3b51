"""A model's loss in one pass, with both terms per datapoint beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vaekern as vk
from vaekern._backends import fast
from vaekern._ops import one_pass

B, PIXELS, LATENT = 6, 12, 3


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(PIXELS, 2 * LATENT)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.layer(x).chunk(2, -1)
        return mu, logvar


def _model(**options: Any) -> vk.VAE:
    torch.manual_seed(0)
    return vk.VAE(_Encoder(), nn.Linear(LATENT, PIXELS), **options)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """One entry for each loss in one pass."""
    seen: list[bool] = []
    original = one_pass.loss_and_values

    def recording(*args: Any) -> tuple[Tensor, ...]:
        seen.append(True)
        return original(*args)

    monkeypatch.setattr(one_pass, "loss_and_values", recording)
    return seen


SCALARS: dict[str, Callable[[Any], Tensor]] = {
    "loss": lambda out: out.loss,
    "a multiple": lambda out: 2.5 * out.loss,
    "values": lambda out: (out.kl * torch.arange(1.0, B + 1) - 0.3 * out.log_likelihood).sum(),
    "one value": lambda out: out.kl[1],
    "all": lambda out: out.loss + out.kl.square().sum() - out.log_likelihood.mean() + out.z.sum(),
}


@pytest.mark.parametrize("what", SCALARS)
@pytest.mark.parametrize("options", [{}, {"beta": 0.3}, {"beta": torch.tensor(0.3)},
                                     {"scale": "log_std", "logvar_clamp": (-1.0, 1.0)},
                                     {"likelihood": "gaussian"}], ids=str)  # fmt: skip
def test_as_composed(options: dict[str, Any], what: str, passes: list[bool]) -> None:
    model, x = _model(**options), torch.rand(B, PIXELS)
    got = model(x, seed=3)
    assert passes == [True]
    with vk.backend("reference"):
        want = model(x, seed=3)
    assert passes == [True]
    for name in ("loss", "log_likelihood", "kl", "z"):
        torch.testing.assert_close(getattr(got, name), getattr(want, name))
    parameters = list(model.parameters())
    ours = torch.autograd.grad(SCALARS[what](got), parameters, allow_unused=True, retain_graph=True)
    again = torch.autograd.grad(SCALARS[what](got), parameters, allow_unused=True)
    theirs = torch.autograd.grad(SCALARS[what](want), parameters, allow_unused=True)
    for a, b, c in zip(ours, again, theirs, strict=True):
        if c is None or a is None or b is None:  # zeros of a recomputation, or nothing
            assert all(g is None or not g.any() for g in (a, b, c))
            continue
        torch.testing.assert_close(a, c)
        torch.testing.assert_close(b, c)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_losses_without_gradients_are_bitwise_the_same(reduction: str) -> None:
    logits, x = torch.randn(B, PIXELS), torch.rand(B, PIXELS)
    mu, logvar = torch.randn(B, LATENT), torch.randn(B, LATENT)
    got = vk.elbo_loss(logits, x, mu, logvar, beta=0.3, reduction=reduction)
    with torch.no_grad():
        again = vk.elbo_loss(logits, x, mu, logvar, beta=0.3, reduction=reduction)
    with fast.allowed(False):
        want = vk.elbo_loss(logits, x, mu, logvar, beta=0.3, reduction=reduction)
    assert torch.equal(got, want)
    assert torch.equal(again, want)


def test_bitwise_the_same_without_the_fast_path() -> None:
    model, x = _model(), torch.rand(B, PIXELS)

    def run() -> list[Tensor]:
        out = model(x, seed=3)
        gradients = torch.autograd.grad(out.loss, list(model.parameters()))
        return [out.loss, out.log_likelihood, out.kl, out.z, *gradients]

    ours = run()
    with fast.allowed(False):
        theirs = run()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_twice_differentiable() -> None:
    model, x = _model(), torch.rand(B, PIXELS)
    weight = model.encoder.layer.weight

    def penalty() -> Tensor:
        out = model(x, seed=3)
        (first,) = torch.autograd.grad(out.loss + out.kl.sum(), [weight], create_graph=True)
        return first.square().sum()

    (got,) = torch.autograd.grad(penalty(), [weight])
    with vk.backend("reference"):
        (want,) = torch.autograd.grad(penalty(), [weight])
    torch.testing.assert_close(got, want)


def test_what_does_not_take_it(passes: list[bool]) -> None:
    x = torch.rand(B, PIXELS)
    with torch.no_grad():
        _model()(x)
    _model(beta=torch.tensor(0.5, requires_grad=True))(x)
    frozen = _model().requires_grad_(False)
    frozen(x)
    assert passes == []
