"""Samples of categorical variables, straight-through and relaxed: those of the reference, their
probabilities, gradients, density, and documented errors."""

from __future__ import annotations

import math
from typing import Any

import backends
import pytest
import torch
from torch import distributions

import vaekern as vk

INF, NAN = math.inf, math.nan


SAMPLERS = {
    "sample": lambda logits, tau: vk.sample_categorical(logits, seed=3),
    "unimix": lambda logits, tau: vk.sample_categorical(logits, unimix=0.1, seed=3),
    "soft": lambda logits, tau: vk.gumbel_softmax(logits, tau, seed=5),
    "hard": lambda logits, tau: vk.gumbel_softmax(logits, tau, hard=True, seed=6),
}


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 40), (1, 2100)], ids=str)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samples_and_their_gradients_are_those_of_the_reference(
    sampler: str, shape: tuple[int, ...], backend: str
) -> None:
    """The same classes, of the same words of noise; gradients of logits and temperature."""
    logits, upstream = 3.0 * torch.randn(shape), torch.randn(shape)
    found = []
    for name, dtype in ((backend, torch.float32), ("reference", torch.float64)):
        own = backends.put(logits).to(dtype).requires_grad_()
        tau = torch.tensor(0.7, dtype=dtype, device=backends.device, requires_grad=True)
        with vk.backend(name):
            z = SAMPLERS[sampler](own, tau)
        wanted = (own, tau) if sampler in ("soft", "hard") else (own,)
        gradients = torch.autograd.grad(z, wanted, backends.put(upstream).to(dtype))
        found.append([t.double() for t in (z, *gradients)])
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want, rtol=2e-5, atol=2e-6)
    if sampler != "soft":
        assert torch.equal(found[0][0], found[1][0])
        assert bool((found[0][0].sum(-1) == 1.0).all())


@pytest.mark.parametrize("sampler", ["sample", "unimix", "hard"])
def test_samples_have_the_probabilities(sampler: str) -> None:
    p = torch.tensor([0.6, 0.3, 0.1, 0.0])
    logits = (5.0 + p.log()).expand(40_000, 4)
    z = SAMPLERS[sampler](logits, 1.0)
    want = 0.9 * p + 0.025 if sampler == "unimix" else p
    assert set(z.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(z.mean(0), want, rtol=0.0, atol=3.9 * 0.5 / 200)


def test_gradients_are_straight_through() -> None:
    logits = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(3, 5, dtype=torch.float64)
    q = 0.9 * logits.softmax(-1) + 0.02
    z = vk.sample_categorical(logits, unimix=0.1, seed=1)
    got, want = (torch.autograd.grad((t * weights).sum(), logits)[0] for t in (z, q))
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-14)
    found = [
        torch.autograd.grad((z * weights).sum(), logits)[0]
        for z in (vk.gumbel_softmax(logits, 0.5, hard=hard, seed=1) for hard in (False, True))
    ]
    torch.testing.assert_close(*found, rtol=0.0, atol=0.0)


def test_gradcheck_of_relaxed_samples() -> None:
    logits = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    tau = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    soft = lambda l_, t_: vk.gumbel_softmax(l_, t_, seed=4)  # noqa: E731
    assert torch.autograd.gradcheck(soft, (logits, tau), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(soft, (logits, tau))


@pytest.mark.parametrize("fill", [NAN, -INF])
def test_a_row_without_probabilities_is_nan(fill: float, implementation: str) -> None:
    logits = torch.zeros(2, 3, device=backends.device)
    logits[0] = fill
    for sampler in SAMPLERS.values():
        z = sampler(logits, torch.tensor(1.0, device=backends.device))
        assert bool(z[0].isnan().all())
        assert bool(z[1].isfinite().all())


def test_a_temperature_compiles_nothing_anew() -> None:
    logits = torch.randn(4, 5)
    compiled = torch.compile(
        lambda logits, tau: vk.gumbel_softmax(logits, tau, seed=2), backend="eager", fullgraph=True
    )
    for tau in (0.3, 1.0, 2.5):
        with torch.compiler.set_stance("default" if tau == 0.3 else "fail_on_recompile"):
            got = compiled(logits, torch.tensor(tau))
        torch.testing.assert_close(got, vk.gumbel_softmax(logits, tau, seed=2))


def test_density_is_that_of_torch() -> None:
    logits = torch.randn(3, 4, 5, dtype=torch.float64, requires_grad=True)
    tau = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    z = vk.gumbel_softmax(logits, tau, seed=1).detach().requires_grad_()
    got = vk.relaxed_categorical_log_prob(z, logits, tau)
    want = distributions.RelaxedOneHotCategorical(
        tau, logits=logits, validate_args=False
    ).log_prob(z).sum(1)  # fmt: skip
    torch.testing.assert_close(got, want)
    wanted = (logits, tau)  # torch's density is normalised in z, too
    for a, b in zip(*[torch.autograd.grad(v.sum(), wanted) for v in (got, want)], strict=True):
        torch.testing.assert_close(a, b)
    corner = torch.tensor([[1.0, 0.0, 0.0]])
    assert vk.relaxed_categorical_log_prob(corner, torch.zeros(1, 3), 0.5).isfinite().all()


@pytest.mark.parametrize(
    ("function", "arguments", "error", "name"),
    [
        ("sample_categorical", {"logits": torch.zeros(3, 0)}, ValueError, "logits"),
        ("sample_categorical", {"logits": torch.zeros(3, 2).long()}, TypeError, "logits"),
        ("sample_categorical", {"unimix": 1.5}, ValueError, "unimix"),
        ("sample_categorical", {"seed": 1.5}, TypeError, "seed"),
        ("gumbel_softmax", {"temperature": 0.0}, ValueError, "temperature"),
        ("gumbel_softmax", {"temperature": torch.ones(2)}, ValueError, "temperature"),
        ("gumbel_softmax", {"temperature": "warm"}, TypeError, "temperature"),
        ("gumbel_softmax", {"hard": 1}, TypeError, "hard"),
        ("relaxed_categorical_log_prob", {"z": torch.zeros(2)}, ValueError, "z"),
        ("relaxed_categorical_log_prob", {"temperature": -1.0}, ValueError, "temperature"),
    ],
)
def test_errors_of_samples(
    function: str, arguments: dict[str, Any], error: type[Exception], name: str
) -> None:
    needed = {"z": torch.ones(4, 3) / 3} if function.startswith("relaxed") else {}
    with pytest.raises(error, match=rf"^{name}\b"):
        getattr(vk, function)(**{**needed, "logits": torch.zeros(4, 3), **arguments})
