"""The loss by the fast path and by the one in Python: the same, bit for bit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import backends
import pytest
import torch
from torch import Tensor

import vaekern as vk
from vaekern import elbo
from vaekern._backends import fast

pytestmark = pytest.mark.skipif(not fast.usable, reason="no fast path with this torch or build")

SHAPE, LATENT = (5, 3, 4, 2), (5, 6)


def _leaf(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return backends.put(torch.randn(shape, dtype=torch.float64).to(dtype)).requires_grad_()


def _decoded(kind: str, dtype: torch.dtype) -> tuple[Any, list[Tensor]]:
    mean = _leaf(*SHAPE, dtype=dtype)
    if kind == "alone":
        return mean, [mean]
    spread = _leaf(*{"scalar": (), "channel": (3,), "full": SHAPE}[kind], dtype=dtype)
    return (mean, spread), [mean, spread]


def _learned() -> vk.likelihoods.GaussianLikelihood:
    return vk.likelihoods.GaussianLikelihood(-0.4, learned=True, scale="log_std")


class _Own(vk.likelihoods.BernoulliLikelihood):
    """Of another temperature."""

    def call(self, decoder_output: Any, x: Tensor, batch_dims: int) -> Any:
        return super().call(2.0 * decoder_output, x, batch_dims)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each attempt succeeded."""
    seen: list[bool] = []
    original = elbo.quick_loss

    def recording(*args: Any) -> Any:
        loss = original(*args)

        def attempt(*args: Any) -> Any:
            found = loss.attempt(*args)
            seen.append(found is not None)
            return found

        return SimpleNamespace(attempt=attempt)

    monkeypatch.setattr(elbo, "quick_loss", recording)
    return seen


REGULAR = [
    ("bernoulli", "alone"),
    ("gaussian", "alone"),
    ("gaussian", "scalar"),
    ("gaussian", "channel"),
    ("gaussian", "full"),
    ("laplace", "alone"),
    ("learned", "alone"),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("likelihood", "kind"), REGULAR)
def test_bitwise_the_same_without_it(
    likelihood: str,
    kind: str,
    reduction: str,
    dtype: torch.dtype,
    fast_backend: str,
    taken: list[bool],
) -> None:
    decoded, leaves = _decoded(kind, dtype)
    module: Any = _learned().to(backends.device) if likelihood == "learned" else likelihood
    x, mu, logvar = (
        backends.put(torch.rand(SHAPE).to(dtype)),
        _leaf(*LATENT, dtype=dtype),
        _leaf(*LATENT),
    )
    leaves = [*leaves, mu, logvar, *(module.parameters() if likelihood == "learned" else ())]

    def run(factor: float) -> list[Tensor]:
        loss = vk.elbo_loss(decoded, x, mu, logvar, module, 0.7, reduction)
        again = torch.autograd.grad(factor * loss, leaves, retain_graph=True)
        differentiable = torch.autograd.grad(loss, leaves, create_graph=True)
        second = torch.autograd.grad(sum(d.float().sum() for d in differentiable), [logvar])
        last = torch.autograd.grad(factor * loss, leaves)
        return [loss, *again, *differentiable, *second, *last]

    for factor in (1.0, 2.5):
        with vk.backend(fast_backend):
            ours = run(factor)
            assert taken.pop() == (fast_backend != "triton")
            with fast.allowed(False):
                theirs = run(factor)
            assert not taken.pop()
        assert type(ours[0].grad_fn).__name__ == type(theirs[0].grad_fn).__name__
        for a, b in zip(ours, theirs, strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


EMITTED = {
    "bernoulli": 1,
    "bernoulli_probs": 1,
    "continuous_bernoulli": 1,
    "gaussian": 2,
    "laplace": 2,
    "asymmetric_laplace": 2,
    "student_t": 2,
    "discretized_logistic": 2,
    "poisson": 1,
    "negative_binomial": 2,
    "zero_inflated_negative_binomial": 2,
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("likelihood", EMITTED)
def test_bitwise_the_same_of_every_likelihood(
    likelihood: str, masked: bool, fast_backend: str, taken: list[bool]
) -> None:
    probs = backends.put(torch.rand(SHAPE)).requires_grad_()
    first = probs if likelihood == "bernoulli_probs" else _leaf(*SHAPE)
    emitted = (first, _leaf(*SHAPE))[: EMITTED[likelihood]]
    decoded: Any = emitted if len(emitted) > 1 else first
    x, mu, logvar = backends.put(torch.rand(SHAPE).round()), _leaf(*LATENT), _leaf(*LATENT)
    mask = backends.put(torch.rand(SHAPE) > 0.3) if masked else None

    def run() -> list[Tensor]:
        loss = vk.elbo_loss(decoded, x, mu, logvar, likelihood, 0.7, mask=mask)
        first, again = (
            torch.autograd.grad(loss, [*emitted, mu, logvar], create_graph=create)
            for create in (True, False)
        )
        return [loss, *first, *again]

    with vk.backend(fast_backend):
        ours = run()
        assert taken.pop() == (fast_backend != "triton")
        with fast.allowed(False):
            theirs = run()
    assert all([torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)])


def test_irregular_losses_are_left_to_python(taken: list[bool]) -> None:
    logits, x = _leaf(*SHAPE), torch.rand(SHAPE)
    mu, logvar = _leaf(*LATENT), _leaf(*LATENT)
    vk.elbo_loss(logits.half(), x, mu, logvar)
    assert taken.pop() is False
    for beta in (torch.tensor(0.5), torch.tensor(0.5, requires_grad=True)):
        vk.elbo_loss(logits, x, mu, logvar, beta=beta)
    vk.elbo_loss(logits, x, mu, logvar, weights=torch.rand(SHAPE[0]))
    vk.elbo_loss(logits, x, mu, logvar, reduction="none")
    vk.elbo_loss(logits, x, mu, logvar, free_bits=0.1)
    assert taken == []


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16], ids=str)
def test_bitwise_the_same_without_gradients(
    dtype: torch.dtype, reduction: str, fast_backend: str, taken: list[bool]
) -> None:
    logits, mu, logvar = _leaf(*SHAPE, dtype=dtype), _leaf(*LATENT), _leaf(*LATENT)
    x, mask = backends.put(torch.rand(SHAPE)), backends.put(torch.rand(SHAPE) > 0.3)
    tensors = logits, x, mu, logvar

    def run() -> list[Tensor]:
        with torch.no_grad():
            found = [vk.elbo_loss(*tensors, beta=0.7, reduction=reduction, mask=mask)]
        return [*found, vk.elbo_loss(*[t.detach() for t in tensors], reduction=reduction)]

    with vk.backend(fast_backend):
        ours = run()
        assert taken == [fast_backend == "cpu"] * 2
        with fast.allowed(False):
            theirs = run()
        whole = vk.elbo_loss(*[t.double() for t in tensors], reduction=reduction)
    assert not any([result.requires_grad for result in ours])
    assert all([torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)])
    torch.testing.assert_close(ours[1].double(), whole.detach(), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("per_datapoint", [False, True])
def test_terms_of_each_datapoint(per_datapoint: bool, fast_backend: str) -> None:
    if fast_backend == "triton":
        pytest.skip("has no fast path")
    logits, mu, logvar = _leaf(*SHAPE), _leaf(*LATENT), _leaf(*LATENT)
    x = backends.put(torch.rand(SHAPE))

    def run() -> list[Tensor]:
        of_kl = mu, logvar, None, 1, "logvar"
        found = elbo.quick_elbo(
            "bernoulli", logits, x, of_kl, 0.7, "sum", per_datapoint=per_datapoint
        )
        assert found is not None
        return [*found] if per_datapoint else [found]

    with vk.backend(fast_backend):
        found = run()
        gradients = torch.autograd.grad(found[0], [logits, mu, logvar])
        loss = vk.elbo_loss(logits, x, mu, logvar, beta=0.7, reduction="sum")
        want = torch.autograd.grad(loss, [logits, mu, logvar])
    assert [each.shape for each in found] == [(), (5,), (5,)][: len(found)]
    assert torch.allclose(found[0], loss)
    assert all([torch.equal(a, b) for a, b in zip(gradients, want, strict=True)])


def test_what_a_subclass_overrides_counts(taken: list[bool]) -> None:
    logits, x = _leaf(*SHAPE), torch.rand(SHAPE)
    mu, logvar = _leaf(*LATENT), _leaf(*LATENT)
    got = vk.elbo_loss(logits, x, mu, logvar, _Own())
    assert torch.equal(got, vk.elbo_loss(2.0 * logits, x, mu, logvar))
    assert taken == [True]  # the latter's


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"reduction": "median"}, "reduction: "),
        ({"beta": "1"}, "beta: "),
        ({"likelihood": "poison"}, "likelihood: "),
        ({"beta": "1", "likelihood": "poison"}, "beta: "),
        ({"mu": torch.zeros(4, 6), "logvar": torch.zeros(4, 6)}, "mu: expected the datapoints"),
        ({"mu": torch.zeros(5, 7)}, "logvar: "),
        ({"x": torch.zeros(5, 3, 4)}, "x: "),
        ({"batch_dims": 7}, "batch_dims: "),
        ({"scale": "variance"}, "scale: "),
    ],
)
def test_errors_are_those_of_python(bad: dict[str, Any], message: str) -> None:
    arguments = {
        "decoder_output": _leaf(*SHAPE),
        "x": torch.rand(SHAPE),
        "mu": _leaf(*LATENT),
        "logvar": _leaf(*LATENT),
    }
    with pytest.raises((ValueError, TypeError)) as ours:
        vk.elbo_loss(**{**arguments, **bad})
    with fast.allowed(False), pytest.raises((ValueError, TypeError)) as theirs:
        vk.elbo_loss(**{**arguments, **bad})
    assert str(ours.value) == str(theirs.value)
    assert str(ours.value).startswith(message)
