"""A Python number has the precision of the arithmetic, whichever argument makes that float64; so do
whole numbers that float32 cannot tell apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import backends
import pytest
import torch
from torch import Tensor

import vaekern as vk

NUMBER = 1.9  # in float32 1.89999998

#: function, its tensors in order, its parameters
CALLS: list[tuple[Callable[..., Tensor], tuple[str, ...], tuple[str, ...]]] = [
    (vk.gaussian_log_likelihood, ("mean", "x"), ("logvar",)),
    (vk.laplace_log_likelihood, ("loc", "x"), ("log_scale",)),
    (vk.student_t_log_likelihood, ("loc", "x"), ("log_scale", "df")),
    (vk.discretized_logistic_log_likelihood, ("loc", "x"), ("log_scale",)),
    (vk.negative_binomial_log_likelihood, ("log_mean", "x"), ("log_dispersion",)),
    (
        vk.zero_inflated_negative_binomial_log_likelihood,
        ("log_mean", "x"),
        ("log_dispersion", "zero_logits"),
    ),
    (vk.gaussian_kl, ("mu", "logvar"), ("prior_mu", "prior_logvar")),
]


def _mixed() -> Iterator[tuple[Callable[..., Tensor], str, dict[str, Any]]]:
    """Each tensor in float64 by turns, each parameter a number or one in float64."""
    for function, tensors, parameters in CALLS:
        for wide in (*tensors, *parameters):
            for number in parameters:
                if number == wide:
                    continue
                given: dict[str, Any] = {name: torch.float32 for name in tensors}
                given.update(dict.fromkeys(parameters, NUMBER))
                given[wide] = torch.float64
                yield function, f"{function.__name__}-{wide}-{number}", given


@pytest.mark.parametrize(
    ("function", "given"), [row[::2] for row in _mixed()], ids=[row[1] for row in _mixed()]
)
def test_a_number_beside_float64(
    function: Callable[..., Tensor], given: dict[str, Any], implementation: str
) -> None:
    values = torch.tensor([[0.25, 0.5, 0.75]])
    arguments = {
        name: backends.put(values.to(v)) if isinstance(v, torch.dtype) else v
        for name, v in given.items()
    }
    got = function(**arguments)
    assert got.dtype is torch.float64
    exact = {
        name: v.double()
        if isinstance(v, Tensor)
        else torch.tensor(v, dtype=torch.float64, device=backends.device)
        for name, v in arguments.items()
    }
    torch.testing.assert_close(got, function(**exact), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("function", [row[0] for row in CALLS if "dispersion" in row[2][0]])
def test_whole_counts_beside_float64_parameters(
    function: Callable[..., Tensor], implementation: str
) -> None:
    counts = backends.put(torch.tensor([2**24 + 1, 3]))
    log_mean = backends.put(torch.tensor([16.6, 1.0]))
    others = {"zero_logits": 0.0} if "zero" in function.__name__ else {}
    theta = torch.tensor(18.0, dtype=torch.float64, device=backends.device)
    got = function(log_mean, counts, theta, **others)
    torch.testing.assert_close(got, function(log_mean, counts.double(), theta, **others))
    assert got[0] != function(log_mean, counts - 1, theta, **others)[0]


def test_the_number_that_was_rounded() -> None:
    x = torch.tensor([[0.3, -1.2]])
    log_scale = torch.tensor(0.5, dtype=torch.float64)
    got = vk.student_t_log_likelihood(x, x.flip(1), log_scale, NUMBER)
    df = torch.tensor(NUMBER, dtype=torch.float64)
    studentt = torch.distributions.StudentT(df, x.double(), log_scale.exp())
    want = studentt.log_prob(x.flip(1).double()).sum(1)
    torch.testing.assert_close(got, want, rtol=1e-14, atol=1e-14)
