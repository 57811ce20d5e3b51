"""The categorical and the multinomial likelihood: right for any number of classes and at the
limits, and exact where a class is all but certain."""

from __future__ import annotations

import math
from collections.abc import Callable

import backends
import mpmath
import numpy as np
import pytest
import torch
from compare import same_bits
from mpmath import mpf
from raw_launch import LOG_SUM_EXP
from torch import Tensor, distributions

import vaekern as vk
from vaekern._backends import choice
from vaekern._backends.launch import LogSumExp, launch

INF, NAN = math.inf, math.nan


def _random(
    classes: int, rows: int = 3, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, classes and counts."""
    logits = 3.0 * torch.randn(rows, classes, dtype=dtype)
    counts = torch.randint(0, 4, (rows, classes)).to(dtype)
    return logits, torch.randint(0, classes, (rows,)), counts


def test_they_are_those_of_torch(implementation: str) -> None:
    logits, x, counts = _random(7, dtype=torch.float64)
    want = distributions.Categorical(logits=logits).log_prob(x)
    got = vk.categorical_log_likelihood(logits, x)
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)
    got = vk.multinomial_log_likelihood(logits, counts)
    for k in range(3):
        of_row = distributions.Multinomial(int(counts[k].sum()), logits=logits[k])
        torch.testing.assert_close(got[k], of_row.log_prob(counts[k]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("classes", [1, 2, 8, 17, 1024, 4097])
def test_any_number_of_classes(classes: int, backend: str) -> None:
    """Parts of a row, whole rows and several in a tile, all of them aligned or not."""
    logits, x, counts = (backends.put(t) for t in _random(classes))
    found = []
    for name, dtype in ((backend, torch.float32), ("reference", torch.float64)):
        own = logits.to(dtype).requires_grad_()
        with vk.backend(name):
            for value in (
                vk.categorical_log_likelihood(own, x),
                vk.multinomial_log_likelihood(own, counts.to(dtype), coefficient=False),
            ):
                found.append((value, *torch.autograd.grad(value.sum(), own)))
    terms = (counts * logits.abs()).sum().item()  # whose difference is the value
    sizes = (0.0, 1.0), (terms, counts.sum().item())
    for got, want, atol in zip(found[:2], found[2:], sizes, strict=True):
        torch.testing.assert_close(got[0].double(), want[0], rtol=1e-6, atol=1e-7 * atol[0])
        torch.testing.assert_close(got[1].double(), want[1], rtol=1e-6, atol=1e-6 * atol[1])


@pytest.mark.parametrize("columns", [3, 2100])
def test_log_sum_exp_has_the_limits_of_torch(columns: int, backend: str) -> None:
    """Such numbers in the first column and in the last, beside others or none."""
    first = torch.tensor([-INF, INF, INF, NAN, NAN, -INF, 1e30, -1e30, 3e38, -INF, 5.0])
    last = torch.tensor([-INF, -INF, INF, INF, 1.0, 2.0, -1e30, -1e30, 3e38, NAN, -INF])
    for between in (-INF, 0.5, NAN):
        rows = torch.full((len(first), columns), between)
        rows[:, 0], rows[:, -1] = first, last
        got = torch.empty(len(first), device=backends.device)
        kernel = next(key for key, k in LOG_SUM_EXP.items() if k == 0)
        launch(
            choice.backend_named(backend), kernel, rows.shape, 1, [backends.put(rows)],
            [LogSumExp(got)],
        )  # fmt: skip
        want = rows.double().logsumexp(1).float()
        torch.testing.assert_close(got.cpu(), want, rtol=1.2e-7, atol=0.0, equal_nan=True)


def test_a_masked_class_is_impossible(implementation: str) -> None:
    logits = torch.tensor([[0.0, -INF, 0.0]], device=backends.device, requires_grad=True)
    counts = torch.tensor([[1.0, 0.0, 3.0]], device=backends.device)
    x = torch.tensor([2], device=backends.device)
    for value, p in (
        (vk.categorical_log_likelihood(logits, x), [-0.5, 0.0, 0.5]),
        (vk.multinomial_log_likelihood(logits, counts, coefficient=False) / 4, [-0.25, 0.0, 0.25]),
    ):
        assert value.item() == pytest.approx(-math.log(2.0), rel=1e-6)
        (gradient,) = torch.autograd.grad(value, logits)
        torch.testing.assert_close(gradient.cpu(), torch.tensor([p]))
    assert vk.categorical_log_likelihood(logits, torch.ones_like(x)).item() == -INF
    nothing = torch.zeros_like(counts)
    assert vk.multinomial_log_likelihood(logits, nothing).item() == 0.0


def test_within_ulps_of_many_digits(fast_backend: str) -> None:
    """From certainty, where log p and 1 - p are tiny, to classes that are all but impossible.

    A tiny rest is e^-d with a rounded distance d to the largest logit, and log sum exp is kept in
    float64 beside that logit."""
    random = np.random.default_rng(5)
    for classes in (2, 3, 40):
        spread = 10.0 ** random.uniform(-2.0, 1.5, (60, 1))
        rows = random.normal(size=(60, classes)) * spread + random.choice([0.0, 1e3], (60, 1))
        logits = torch.from_numpy(rows.astype(np.float32)).to(backends.device).requires_grad_()
        x = torch.from_numpy(random.integers(0, classes, 60)).to(backends.device)
        with vk.backend(fast_backend):
            value = vk.categorical_log_likelihood(logits, x)
            value.sum().backward()
        assert logits.grad is not None
        for row, k, ll, d in zip(
            logits.tolist(), x.tolist(), value.tolist(), logits.grad.tolist(), strict=True
        ):
            total = mpmath.fsum(mpmath.exp(mpf(v)) for v in row)
            p = [mpmath.exp(mpf(v)) / total for v in row]
            rest = mpmath.fsum(q for j, q in enumerate(p) if j != k)
            want_ll = mpmath.log1p(-rest) if rest < 0.5 else mpmath.log(p[k])
            limit = 4.0 + max(0.0, row[k] - max(row[:k] + row[k + 1 :]))
            exact = 2.0**-52 * max(map(abs, row))
            assert _ulps(ll, want_ll) <= limit or abs(ll - want_ll) <= exact
            assert max(_ulps(d[j], -q) for j, q in enumerate(p) if j != k) <= 4.0
            assert _ulps(d[k], rest) <= limit or abs(d[k] - rest) <= exact


def _ulps(got: float, want: mpf) -> float:
    return float(abs(got - want)) / 2.0 ** max(math.frexp(float(want))[1] - 24, -149)


def test_a_common_shift_of_the_logits_changes_nothing(fast_backend: str) -> None:
    """Multiples of 2^-8 up to 2^14 are exact in float32, and so are their differences."""
    logits, x, _ = _random(1000)
    logits = torch.round(logits * 256) / 256
    found = []
    for shift in (0.0, 2.0**13):
        own = backends.put(logits + shift).requires_grad_()
        with vk.backend(fast_backend):
            value = vk.categorical_log_likelihood(own, backends.put(x))
            found.append((value, *torch.autograd.grad(value.sum(), own)))
    torch.testing.assert_close(*found, rtol=3e-7, atol=0.0)


def test_threads_do_not_matter(set_threads: Callable[[int], None]) -> None:
    """Many parts of a row; and positions of a datapoint, which are added up afterwards."""
    for shape in ((2, 100_003), (2, 30_000, 3)):
        logits, x = torch.randn(shape), torch.randint(0, 3, shape[:-1])
        counts = torch.rand(shape)
        found = []
        for threads in (1, 2, 3):
            set_threads(threads)
            own = logits.clone().requires_grad_()
            values = [vk.categorical_log_likelihood(own, x)]
            values.append(vk.multinomial_log_likelihood(own, counts, coefficient=False))
            found.append([*values, *torch.autograd.grad(sum(v.sum() for v in values), own)])
        for other in found[1:]:
            assert all(map(same_bits, found[0], other))


def test_rows_may_share_a_number(backend: str) -> None:
    """log sum exp over several rows, as engines offer it: partial ones of many rows and parts."""
    rows = torch.randn(2, 9, 1100)
    counts, got = torch.rand(2, 9, 1), torch.empty(2, device=backends.device)
    kernel = next(key for key, k in LOG_SUM_EXP.items() if k == 2)
    launch(
        choice.backend_named(backend), kernel, rows.shape, 1,
        [backends.put(rows), backends.put(counts)], [None, None, LogSumExp(got)],
    )  # fmt: skip
    torch.testing.assert_close(got.cpu(), rows.logsumexp((1, 2)), rtol=1e-6, atol=0.0)


def test_no_rows_and_no_sum_of_them() -> None:
    for shape in ((0, 3), (2, 0, 3)):
        logits = torch.empty(shape, requires_grad=True)
        x = torch.empty(shape[:-1], dtype=torch.int64)
        for value in (
            vk.categorical_log_likelihood(logits, x),
            vk.multinomial_log_likelihood(logits, torch.empty(shape)),
        ):
            assert value.tolist() == [0.0] * shape[0]
            value.sum().backward()


@pytest.mark.parametrize("index", [-1, 5])
def test_an_index_that_is_no_class_is_an_error_on_the_cpu(index: int) -> None:
    for dtype in (torch.int64, torch.int32):
        with pytest.raises(RuntimeError, match=r"^x: expected classes, 0 to 4: .*out of bounds"):
            vk.categorical_log_likelihood(torch.zeros(1, 5), torch.tensor([index], dtype=dtype))
