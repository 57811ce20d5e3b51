"""Categorical latent variables: right for any number of classes, exact where two distributions are
nearly one, limits, and documented errors."""

from __future__ import annotations

import math
from typing import Any

import backends
import mpmath
import numpy as np
import pytest
import torch
from mpmath import mpf
from operations.exact import SMALLEST
from torch import Tensor, distributions

import vaekern as vk

INF, NAN = math.inf, math.nan


# --- oracle ---------------------------------------------------------------------------------------


@mpmath.workprec(400)
def exact_kl(first: list[float], second: list[float], unimix: float) -> tuple[Any, ...]:
    """The divergence of one variable, and of each gradient the elements with the size of the terms
    that each is a difference of."""
    n, u = len(first), mpf(unimix)
    softmaxes = []
    for row in (first, second):
        e = [mpmath.exp(mpf(x)) for x in row]
        softmaxes.append([x / mpmath.fsum(e) for x in e])
    q, p = ([(1 - u) * x + u / n for x in softmax] for softmax in softmaxes)
    r = [mpmath.log(a / b) for a, b in zip(q, p, strict=True)]
    value = mpmath.fsum(a * b for a, b in zip(q, r, strict=True))
    ratios = [a / b - 1 for a, b in zip(q, p, strict=True)]
    found: list[Any] = [value]
    least = SMALLEST * (n / u if unimix else 1)  # times probabilities with all digits
    for softmax, slopes, sign in ((softmaxes[0], r, 1), (softmaxes[1], ratios, -1)):
        mean = mpmath.fsum(a * b for a, b in zip(softmax, slopes, strict=True))
        size = mpmath.fsum(a * abs(b) for a, b in zip(softmax, slopes, strict=True))
        found.append(
            [
                (sign * (1 - u) * a * (b - mean), max(least, (1 - u) * a * (abs(b) + size)))
                for a, b in zip(softmax, slopes, strict=True)
            ]
        )
    return tuple(found)


def ulps(got: float, want: mpf, size: mpf | None = None) -> float:
    size = abs(want) if size is None else size
    return float(abs(got - want)) / 2.0 ** max(math.frexp(float(size))[1] - 24, -149)


#: In ulps of the value, and of the terms whose difference an element of a gradient is. Without a
#: mixture, and with one, where a probability is a sum and errors of it count twice.
VALUE_ULPS = {0.0: 4.0, 0.01: 6.0}
GRADIENT_ULPS = 6.0


@pytest.mark.parametrize("unimix", [0.0, 0.01])
@pytest.mark.parametrize("classes", [1, 2, 3, 32, 40])
def test_within_ulps_of_many_digits(classes: int, unimix: float, fast_backend: str) -> None:
    """From distributions that are all but equal, of a divergence of 1e-13, to those that share no
    class; the prior's logits are shifted, too, which changes nothing."""
    random = np.random.default_rng(3)
    distances = np.repeat([1e-6, 1e-4, 1e-2, 1.0, 10.0, 40.0], 5)[:, None]
    first = 3.0 * random.normal(size=(len(distances), classes))
    second = (
        first
        + distances * random.normal(size=first.shape)
        + random.choice([0.0, 7.0], (len(first), 1))
    )
    logits, prior = (
        torch.from_numpy(t.astype(np.float32)).to(backends.device).requires_grad_()
        for t in (first, second)
    )
    with vk.backend(fast_backend):
        value = vk.categorical_kl(logits, prior, unimix=unimix)
        gradients = torch.autograd.grad(value.sum(), (logits, prior))
    for k, got in enumerate(value.tolist()):
        want, *slopes = exact_kl(logits[k].tolist(), prior[k].tolist(), unimix)
        if classes == 1:
            assert got == 0.0
            assert [g[k].tolist() for g in gradients] == [[0.0], [0.0]]
            continue
        assert ulps(got, want) <= VALUE_ULPS[unimix], f"distance {distances[k, 0]}"
        for gradient, of in zip(gradients, slopes, strict=True):
            for element, (slope, size) in zip(gradient[k].tolist(), of, strict=True):
                assert ulps(element, slope, size) <= GRADIENT_ULPS, f"distance {distances[k, 0]}"


@pytest.mark.table
@pytest.mark.parametrize("unimix", [0.0, 0.2])
@pytest.mark.parametrize("classes", [1, 7, 64, 1024, 1025, 4097])
def test_any_number_of_classes(classes: int, unimix: float, backend: str) -> None:
    """A row in parts of a vector, a warp, a block; several rows to a sum."""
    first, second = 3.0 * torch.randn(2, 3, classes), 3.0 * torch.randn(2, 3, classes)
    found = []
    for name, dtype in ((backend, torch.float32), ("reference", torch.float64)):
        own = [backends.put(t).to(dtype).requires_grad_() for t in (first, second)]
        with vk.backend(name):
            value = vk.categorical_kl(*own, unimix=unimix)
        found.append((value, *torch.autograd.grad(value.sum(), own)))
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got.double(), want, rtol=4e-6, atol=3e-7)


def test_it_is_that_of_torch(implementation: str) -> None:
    logits, prior = (torch.randn(4, 6, 5, dtype=torch.float64, device=backends.device)
                     for _ in range(2))  # fmt: skip
    q, p = (distributions.Categorical(logits=t) for t in (logits, prior))
    want = distributions.kl_divergence(q, p).sum(1)
    torch.testing.assert_close(vk.categorical_kl(logits, prior), want, rtol=1e-12, atol=1e-12)
    uniform = math.log(5) * 6 - q.entropy().sum(1)
    torch.testing.assert_close(vk.categorical_kl(logits), uniform, rtol=1e-12, atol=1e-12)


def test_equal_distributions(implementation: str) -> None:
    """Exactly 0, in value and gradients, also where one's logits are shifted."""
    logits = torch.randn(3, 40, device=backends.device) * 20
    for unimix in (0.0, 0.01):
        for shift in (0.0, 2.0**13):
            first = (torch.round(logits * 256) / 256).requires_grad_()
            second = (first.detach() + shift).requires_grad_()
            value = vk.categorical_kl(first, second, unimix=unimix)
            tiny = 0.0 if implementation != "reference" else 1e-12
            assert bool((value.abs() <= tiny).all())
            for g in torch.autograd.grad(value.sum(), (first, second)):
                assert bool((g.abs() <= (0.0 if tiny == 0.0 else 1e-6)).all())


@pytest.mark.parametrize(
    ("first", "second", "unimix", "value", "gradients"),
    [
        ((0.0, -INF), (0.0, 0.0), 0.0, math.log(2.0), (0.0, 0.0, -0.5, 0.5)),
        ((INF, 3.0), (0.0, 0.0), 0.0, math.log(2.0), (0.0, 0.0, -0.5, 0.5)),
        ((0.0, -INF, 0.0), (0.0, -INF, 0.0), 0.0, 0.0, (0.0,) * 6),
        ((INF, INF, 0.0), (0.0, 0.0, -INF), 0.0, 0.0, (0.0,) * 6),
        ((0.0, 0.0), (0.0, -INF), 0.0, INF, (None,) * 4),
        ((0.0, 0.0), (0.0, -200.0), 0.0, 100.0 - math.log(2.0), (-50.0, 50.0, 0.5, -0.5)),
        ((0.0, -200.0), (0.0, 200.0), 0.0, 200.0, (0.0, 0.0, -1.0, 1.0)),
        ((1e30, 0.0), (1e30, 0.0), 0.0, 0.0, (0.0,) * 4),
        ((-INF, -INF), (0.0, 0.0), 0.0, NAN, (NAN, NAN, NAN, NAN)),
        ((0.0, NAN), (0.0, 0.0), 0.0, NAN, (NAN, NAN, NAN, NAN)),
        ((0.0, 0.0), (NAN, 0.0), 0.0, NAN, (NAN, NAN, NAN, NAN)),
        ((0.0, -INF), (-INF, 0.0), 0.5, 0.5 * math.log(3.0), (0.0, 0.0, 0.0, 0.0)),
    ],
)
def test_limits(
    first: tuple[float, ...],
    second: tuple[float, ...],
    unimix: float,
    value: float,
    gradients: tuple[float | None, ...],
    implementation: str,
) -> None:
    logits, prior = (
        torch.tensor([t], device=backends.device, requires_grad=True) for t in (first, second)
    )
    got = vk.categorical_kl(logits, prior, unimix=unimix)
    found = torch.cat(torch.autograd.grad(got, (logits, prior)), 1)[0].tolist()
    for number, want in zip((got.item(), *found), (value, *gradients), strict=True):
        if want is not None:
            assert number == pytest.approx(want, rel=1e-5, abs=1e-7, nan_ok=True)


def test_the_gradient_of_a_shared_prior_is_a_sum(implementation: str) -> None:
    logits = torch.randn(4, 3, 5, dtype=torch.float64, device=backends.device)
    for shape in ((5,), (3, 5), (1, 5), (1, 3, 5), (4, 1, 5)):
        prior = torch.randn(shape, dtype=torch.float64, device=backends.device, requires_grad=True)
        full = prior.detach().expand(4, 3, 5).clone().requires_grad_()
        found = []
        for own in (prior, full):
            value = vk.categorical_kl(logits, own, unimix=0.1)
            found.append((value, *torch.autograd.grad(value.sum(), own)))
        torch.testing.assert_close(found[0][0], found[1][0])
        torch.testing.assert_close(found[0][1], found[1][1].sum_to_size(shape))


# --- errors ---------------------------------------------------------------------------------------


def t(*shape: int, dtype: torch.dtype = torch.float32, device: str = "meta") -> Tensor:
    return torch.empty(shape, dtype=dtype, device=device)


@pytest.mark.parametrize(
    ("instead", "error", "got", "wanted"),
    [
        ({"logits": t(4, 3, dtype=torch.int64)}, TypeError, "int64", "float32"),
        ({"logits": t(4, 0)}, ValueError, "(4, 0)", "classes"),
        ({"prior_logits": 0.5}, TypeError, "float", "tensor"),
        ({"prior_logits": t(2, 3)}, ValueError, "(2, 3)", "(4, 2, 3)"),
        ({"prior_logits": t(4, 2, 1)}, ValueError, "(4, 2, 1)", "(4, 2, 3)"),
        ({"prior_logits": t()}, ValueError, "()", "3 classes"),
        ({"prior_logits": t(4, 2, 3, device="cpu")}, ValueError, "cpu", "meta"),
        ({"unimix": 1.0}, ValueError, "1.0", "[0, 1)"),
        ({"unimix": -0.1}, ValueError, "-0.1", "[0, 1)"),
        ({"unimix": NAN}, ValueError, "nan", "[0, 1)"),
        ({"unimix": t()}, TypeError, "Tensor", "number"),
        ({"mask": t(4, 2, 3, dtype=torch.bool)}, ValueError, "(4, 2, 3)", "(4, 2)"),
        ({"mask": t(4, 2)}, TypeError, "float32", "bool"),
        ({"batch_dims": 3}, ValueError, "3", "0 to 2"),
    ],
)
def test_errors(instead: dict[str, Any], error: type[Exception], got: str, wanted: str) -> None:
    arguments = {"logits": t(4, 2, 3), "prior_logits": t(4, 2, 3), **instead}
    if instead.get("prior_logits") is not None and isinstance(instead["prior_logits"], Tensor):
        arguments["batch_dims"] = 0 if instead["prior_logits"].dim() == 2 else 1
    (name,) = instead
    with pytest.raises(error, match=rf"^{name}\b") as caught:
        vk.categorical_kl(**arguments)
    assert got in str(caught.value)
    assert wanted in str(caught.value)
