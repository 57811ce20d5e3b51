"""A model's loss in one pass, with both terms per datapoint beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from frames import modules_that_run, profiled
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction

import vaekern as vk
from vaekern._backends import fast, native

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


def _in_one_pass(out: vk.VAEOutput) -> bool:
    return "OnePass" in type(out.loss.grad_fn).__name__


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
def test_as_composed(options: dict[str, Any], what: str) -> None:
    model, x = _model(**options), torch.rand(B, PIXELS)
    got = model(x, seed=3)
    assert _in_one_pass(got)
    with vk.backend("reference"):
        want = model(x, seed=3)
    assert not _in_one_pass(want)
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


def test_what_does_not_take_it() -> None:
    x = torch.rand(B, PIXELS)
    with torch.no_grad():
        assert not _in_one_pass(_model()(x))
    assert not _in_one_pass(_model(beta=torch.tensor(0.5, requires_grad=True))(x))
    assert not _in_one_pass(_model().requires_grad_(False)(x))


# --- what a step takes ----------------------------------------------------------------------------


def _nodes(loss: Tensor) -> Counter[str]:
    """The graph's nodes that are ours."""
    seen, ahead = set(), [loss.grad_fn]
    while ahead:
        node = ahead.pop()
        if node is not None and node not in seen:
            seen.add(node)
            ahead += [following for following, _ in node.next_functions]
    names = [type(node).__name__ for node in seen if isinstance(node, BackwardCFunction)]
    return Counter(names)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "student_t", "poisson"])
def test_a_step_is_two_nodes_of_the_graph(likelihood: str) -> None:
    model, x = _model(likelihood=likelihood), torch.rand(B, PIXELS)
    out = model(x)
    assert sum(_nodes(out.loss).values()) == 2  # the sample, and the loss with both terms
    assert out.log_likelihood.grad_fn is out.kl.grad_fn is out.loss.grad_fn


def test_a_step_is_four_launches(monkeypatch: pytest.MonkeyPatch) -> None:
    assert native.core is not None
    launches: list[int] = []
    run = native.core.run

    def recording(kernel: int, *others: Any) -> None:
        launches.append(kernel)
        run(kernel, *others)

    monkeypatch.setattr(native.core, "run", recording)
    model, x = _model(), torch.rand(B, PIXELS)
    with fast.allowed(False):
        model(x).loss.backward()
    assert len(launches) == 4  # the sample, two terms with their gradients, the sample's gradient


@pytest.mark.skipif(not fast.usable, reason="no fast path with this torch or build")
def test_a_step_is_two_calls_of_the_extension_and_a_backward_without_python() -> None:
    model, x = _model(), torch.rand(B, PIXELS)
    called: Counter[str] = Counter()

    def profile(_frame: Any, event: str, what: Any) -> None:
        if event == "c_call" and type(what.__self__).__name__ == "PyCapsule":
            called[what.__name__] += 1

    with profiled(profile):
        loss = model(x).loss
    with modules_that_run() as modules:
        loss.backward()
    assert called == {"attempt": 2}
    nodes = "vaekern", "torch.autograd.function"  # the latter's look up the former's
    assert modules
    assert not [name for name in modules if name.startswith(nodes)]
