"""``with distributions():`` for code that calls ``torch.distributions`` and cannot be changed."""

from __future__ import annotations

import sys
import types

import pytest
import torch
from agreement import normal
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Laplace, Normal, Poisson

from vaekern.compat import distributions
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
    methods = [family.__dict__["log_prob"] for family in (Normal, Bernoulli, Independent)]
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
    p, q = Laplace(torch.zeros(3), 1.0), Laplace(torch.ones(3), 2.0)
    want = [torch.distributions.kl_divergence(p, q), p.log_prob(torch.ones(3))]
    with distributions():
        got = [torch.distributions.kl_divergence(p, q), p.log_prob(torch.ones(3))]
        with pytest.raises(NotImplementedError):
            torch.distributions.kl_divergence(p, Poisson(torch.ones(3)))
    assert all(map(torch.equal, got, want))
    assert not kernels_called


def test_explicit_functions_inside() -> None:
    """No endless recursion for what both leave to torch."""
    normal_0, laplace, ones = (
        Normal(torch.zeros(3), 1.0),
        Laplace(torch.zeros(3), 1.0),
        torch.ones(3),
    )
    want = [laplace.log_prob(ones), normal_0.log_prob(ones)]
    with distributions():
        got = [log_prob(laplace, ones), log_prob(normal_0, ones)]
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
