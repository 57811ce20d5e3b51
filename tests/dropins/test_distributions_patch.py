"""``with distributions():`` for code that calls ``torch.distributions`` and cannot be changed."""

from __future__ import annotations

import sys
import types

import pytest
import torch
from agreement import normal
from torch import Tensor
from torch.distributions import Bernoulli, Gumbel, Independent, Normal, Poisson, kl, register_kl

from vaekern.compat import distributions
from vaekern.compat._log_probs import FAMILIES
from vaekern.compat.torch_distributions import log_prob

LOSS = """
from torch.distributions import Independent, Normal, Bernoulli, kl_divergence as kl

def loss(mu, std, logits, x):
    q = Independent(Normal(mu, std), 1)
    p = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    elementwise = kl(Normal(mu, std), Normal(0.1, 2.0))
    likelihood = Independent(Bernoulli(logits=logits), 1).log_prob(x)
    return (kl(q, p) - likelihood).mean() + elementwise.sum() + q.log_prob(mu + 1).sum()
"""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Somebody's module."""
    module = types.ModuleType("somebodys_module")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    module.__dict__["torch"] = torch
    exec(LOSS, module.__dict__)
    return module


def inputs() -> list[Tensor]:
    drawn = [normal(4, 6), torch.exp(0.5 * normal(4, 6, seed=1)), normal(4, 9, seed=2)]
    return [tensor.float().requires_grad_() for tensor in drawn]


def test_somebodys_loss(script: types.ModuleType, kernels_called: list[str]) -> None:
    tensors, x = inputs(), (normal(4, 9) > 0).float()
    want = script.loss(*tensors, x)
    assert not kernels_called
    with distributions():
        got = script.loss(*tensors, x)
    assert sorted(set(kernels_called)) == [
        "bernoulli_log_likelihood", "gaussian_kl", "gaussian_log_likelihood",
    ]  # fmt: skip
    assert len(kernels_called) == 4
    torch.testing.assert_close(got, want)
    for a, b in zip(
        torch.autograd.grad(got, tensors), torch.autograd.grad(want, tensors), strict=True
    ):
        torch.testing.assert_close(a, b)


def state(script: types.ModuleType) -> list[object]:
    methods = [family.__dict__["log_prob"] for family in (*FAMILIES, Independent)]
    functions = [torch.distributions.kl_divergence, torch.distributions.kl.kl_divergence]
    return [*methods, *functions, script.kl]


def test_undone(script: types.ModuleType) -> None:
    before = state(script)
    with distributions():
        assert all(a is not b for a, b in zip(state(script), before, strict=True))
        with distributions():
            pass
    assert state(script) == before
    patch = distributions()
    patch.undo()
    assert state(script) == before
    with pytest.raises(ValueError, match="support"), distributions():
        Bernoulli(logits=torch.zeros(2), validate_args=True).log_prob(torch.full((2,), 0.5))
    assert state(script) == before


def test_the_rest_is_torchs(kernels_called: list[str]) -> None:
    p, q = Gumbel(torch.zeros(3), 1.0), Gumbel(torch.ones(3), 2.0)
    want = [torch.distributions.kl_divergence(p, q), p.log_prob(torch.ones(3))]
    with distributions():
        got = [torch.distributions.kl_divergence(p, q), p.log_prob(torch.ones(3))]
        with pytest.raises(NotImplementedError):
            torch.distributions.kl_divergence(p, Poisson(torch.ones(3)))
    assert all(map(torch.equal, got, want))
    assert not kernels_called


def test_explicit_functions_inside() -> None:
    """No endless recursion for what both leave to torch."""
    normal_0, gumbel, ones = (
        Normal(torch.zeros(3), 1.0),
        Gumbel(torch.zeros(3), 1.0),
        torch.ones(3),
    )
    want = [gumbel.log_prob(ones), normal_0.log_prob(ones)]
    with distributions():
        got = [log_prob(gumbel, ones), log_prob(normal_0, ones)]
    torch.testing.assert_close(got, want)


def test_compiled_inside() -> None:
    """Compiled code asks for what it was compiled with."""
    torch._dynamo.reset()

    def loss(mu: Tensor, std: Tensor) -> Tensor:
        p = Independent(Normal(mu, std, validate_args=False), 1)
        q = Independent(Normal(torch.zeros_like(mu), torch.ones_like(std), validate_args=False), 1)
        return torch.distributions.kl_divergence(p, q).sum()

    mu, std = inputs()[:2]
    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    want = loss(mu, std)
    with distributions():
        inside = compiled(mu, std)
    torch.testing.assert_close(inside, want)
    torch.testing.assert_close(torch.autograd.grad(inside, mu), torch.autograd.grad(want, mu))
    torch.testing.assert_close(compiled(mu, std), want)


# --- divergences that somebody registered -------------------------------------------------------


class Tempered(Normal):
    """Of the same density as a Normal."""


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kl, "_KL_REGISTRY", dict(kl._KL_REGISTRY))
    monkeypatch.setattr(kl, "_KL_MEMOIZE", {})
    register_kl(Tempered, Normal)(lambda p, q: torch.full(p.batch_shape, 42.0))


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("summed", [0, 1])
def test_registered_for_a_subclass(summed: int, kernels_called: list[str]) -> None:
    zeros, ones = torch.zeros(2), torch.ones(2)
    tempered, normal_0 = Tempered(zeros, ones), Normal(zeros, ones)
    if summed:
        tempered, normal_0 = Independent(tempered, 1), Independent(normal_0, 1)
    want = torch.distributions.kl_divergence(tempered, normal_0)
    assert want.max() >= 42.0
    with distributions():
        assert torch.equal(torch.distributions.kl_divergence(tempered, normal_0), want)
        assert not kernels_called
        assert torch.distributions.kl_divergence(normal_0, tempered).max() == 0.0
        assert kernels_called == ["gaussian_kl"]  # nobody registered this one


@pytest.mark.usefixtures("_registered")
def test_registered_in_the_place_of_torchs(kernels_called: list[str]) -> None:
    register_kl(Normal, Normal)(lambda p, q: torch.full(p.batch_shape, 7.0))
    normal_0 = Normal(torch.zeros(2), torch.ones(2))
    with distributions():
        assert torch.distributions.kl_divergence(normal_0, normal_0).max() == 7.0
    assert not kernels_called
