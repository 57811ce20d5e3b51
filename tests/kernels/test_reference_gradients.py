"""The oracle's own digits: what the reference makes of float64, values and gradients, against
mpmath, at every point where the kernels are measured. Errors are relative to the largest term of a
result."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch
from mpmath import mpf
from operations.accuracy import RESULTS, exact, table
from operations.description import Subject
from operations.points import points
from sampling import one_row_in

import vaekern as vk

LIMIT = 1e-14


def _of_reference(subject: Subject, scale: str) -> dict[str, np.ndarray]:
    tensors = {
        name: torch.from_numpy(x.astype(np.float64)).requires_grad_(
            subject.arguments[name] != "level"
        )
        for name, x in zip(subject.arguments, points(subject, scale), strict=True)
    }
    constants = {**subject.constants, **({"scale": scale} if subject.scaled else {})}
    with vk.backend("reference"):
        results = getattr(vk, subject.function)(**tensors, **constants, batch_dims=1)
    results = results if isinstance(results, tuple) else (results,)
    torch.autograd.backward(results, [torch.ones_like(r) for r in results])
    names = RESULTS.get(subject.function, ("value",))
    found = dict(zip(names, [r.detach().numpy() for r in results], strict=True))
    found.update({name: t.grad.numpy() for name, t in tensors.items() if t.grad is not None})
    return found


def _further_terms(subject: Subject, scale: str) -> dict[str, np.ndarray]:
    """Terms that double precision has to take a result apart into, and that the oracle has put
    together. (Without them a dozen, one and five of the points would be off by more.)"""
    numbers = dict(
        zip(subject.arguments, [x.astype(float) for x in points(subject, scale)], strict=True)
    )
    if subject.name == "bernoulli_probs":  # (x - p) / (p q) = x / p - (1 - x) / q
        p, x = numbers["probs"], numbers["x"]
        with np.errstate(divide="ignore"):
            return {"probs": np.maximum(x / p, (1.0 - x) / (1.0 - p))}
    if subject.name == "poisson":  # x - e^l, times the log x that l is compared with
        rate, x = np.exp(numbers["log_rate"]), np.maximum(numbers["x"], 1.0)
        return {"value": np.abs(x - rate) * np.log(x)}
    if subject.name in ("negative_binomial", "zero_inflated"):  # theta (digamma(theta) - ...)
        r = numbers["log_dispersion"]
        return {"log_dispersion": np.where(r < np.log(10.0), np.exp(r), 0.0)}
    return {}


@pytest.mark.parametrize(
    ("subject", "scale"),
    one_row_in(6, table()),
    ids=lambda v: v.name if isinstance(v, Subject) else v,
)
def test_values_and_gradients_have_the_digits_of_their_terms(subject: Subject, scale: str) -> None:
    got, further = _of_reference(subject, scale), _further_terms(subject, scale)
    too_far = {}
    for name, (want, ulp) in exact(subject, scale).items():
        terms = np.maximum(ulp * 2.0**24, further.get(name, 0.0))
        off = np.where(np.isfinite(got[name]), np.abs(got[name] - want) / terms, np.inf)
        k = off.argmax()
        if off[k] > LIMIT:
            where = [float(x[k]) for x in points(subject, scale)]
            too_far[name] = f"{off[k]:.1e} at {where}: got {got[name][k]}, want {want[k]}"
    assert not too_far


def test_the_gradient_of_a_count_at_a_high_rate() -> None:
    log_rate = torch.tensor([19.717311267504474], dtype=torch.float64)
    x = torch.tensor([18.0], dtype=torch.float64, requires_grad=True)
    value = vk.reference.poisson_log_likelihood(log_rate, x)
    (gradient,) = torch.autograd.grad(value, x, create_graph=True)
    want = float(mpf(log_rate.item()) - mpmath.digamma(19))
    assert gradient.item() == pytest.approx(want, rel=1e-15)
    (second,) = torch.autograd.grad(gradient, x)
    assert second.item() == pytest.approx(-float(mpmath.psi(1, 19)), rel=1e-9)


@pytest.mark.parametrize("r", [-50.0, 0.0, 30.0, 50.0, 75.0])
@pytest.mark.parametrize("x", [1.0, 2.0, 40.0])
def test_gradients_of_extreme_dispersions(r: float, x: float) -> None:
    """d/dm = (x - mu) theta / (theta + mu); d/dr by the definition in mpmath."""
    m = 0.75
    tensors = [torch.tensor([t], dtype=torch.float64, requires_grad=True) for t in (m, r)]
    count = torch.tensor([x], dtype=torch.float64)
    value = vk.reference.negative_binomial_log_likelihood(tensors[0], count, tensors[1])
    of_m, of_r = (g.item() for g in torch.autograd.grad(value, tensors))
    mu, theta = mpmath.exp(m), mpmath.exp(r)
    assert of_m == pytest.approx(float((x - mu) * theta / (theta + mu)), rel=1e-13)

    def log_probability(r: mpf) -> mpf:
        theta = mpmath.exp(r)
        gammas = mpmath.loggamma(x + theta) - mpmath.loggamma(theta)
        return gammas + theta * mpmath.log(theta / (theta + mu)) + x * mpmath.log(mu / (theta + mu))

    assert of_r == pytest.approx(float(mpmath.diff(log_probability, mpf(r))), rel=1e-10)


def test_second_derivatives_of_far_counts() -> None:
    """They are taken of the reference, on whichever side of a switch of formulas."""
    x = torch.tensor([1.5, 3.0, 7.0], dtype=torch.float64, requires_grad=True)
    log_rate = (x.detach().log() + torch.tensor([-5.0, 0.99, 4.0])).requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda *tensors: vk.reference.poisson_log_likelihood(*tensors, batch_dims=0), (log_rate, x)
    )
