"""``log_prob`` of each family of ``torch.distributions`` that has a kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from agreement import check_agreement, normal, uniform
from torch import Tensor, distributions
from torch.distributions import Distribution, Independent

from vaekern import compat
from vaekern.compat._log_probs import FAMILIES
from vaekern.compat.torch_distributions import log_prob

Draw = Callable[..., Tensor]


def positive(*shape: int, seed: int = 0) -> Tensor:
    return torch.exp(0.5 * normal(*shape, seed=seed))


def counts(*shape: int, seed: int = 0) -> Tensor:
    return torch.floor(5.0 * uniform(*shape, seed=seed))


@dataclass(frozen=True)
class Family:
    """What it is made of, and data in its support, of the shape of parameters."""

    kind: Callable[..., Distribution]
    parameters: Mapping[str, Draw]
    data: Draw
    kernel: str
    options: Mapping[str, Any] = field(default_factory=dict)
    events: int = 0  # dimensions of its own

    def make(self, *tensors: Tensor, summed: int = 0, validate: bool = False) -> Distribution:
        named = dict(zip(self.parameters, tensors, strict=True))
        made = self.kind(**named, **self.options, validate_args=validate)
        return Independent(made, summed) if summed else made

    def draw(self, *shape: int) -> list[Tensor]:
        return [draw(*shape, seed=k) for k, draw in enumerate(self.parameters.values())]


ROWS = {
    "Normal": Family(distributions.Normal, {"loc": normal, "scale": positive}, normal,
                     "gaussian_log_likelihood"),
    "Laplace": Family(distributions.Laplace, {"loc": normal, "scale": positive}, normal,
                      "laplace_log_likelihood"),
    "StudentT": Family(distributions.StudentT, {"df": positive, "loc": normal, "scale": positive},
                       normal, "student_t_log_likelihood"),
    "Bernoulli": Family(distributions.Bernoulli, {"logits": normal},
                        lambda *shape, seed=0: (uniform(*shape, seed=seed) < 0.5).double(),
                        "bernoulli_log_likelihood"),
    "ContinuousBernoulli": Family(distributions.ContinuousBernoulli, {"logits": normal}, uniform,
                                  "continuous_bernoulli_log_likelihood"),
    "ContinuousBernoulli of probs": Family(distributions.ContinuousBernoulli, {"probs": uniform},
                                           uniform, "continuous_bernoulli_log_likelihood"),
    "Poisson": Family(distributions.Poisson, {"rate": positive}, counts,
                      "poisson_log_likelihood"),
    "NegativeBinomial": Family(distributions.NegativeBinomial,
                               {"total_count": positive, "logits": normal}, counts,
                               "negative_binomial_log_likelihood"),
    "NegativeBinomial of probs": Family(distributions.NegativeBinomial,
                                        {"total_count": positive, "probs": uniform}, counts,
                                        "negative_binomial_log_likelihood"),
    "Multinomial": Family(distributions.Multinomial, {"logits": normal}, counts,
                          "multinomial_log_likelihood", {"total_count": 100}, events=1),
    "Multinomial of probs": Family(distributions.Multinomial, {"probs": positive}, counts,
                                   "multinomial_log_likelihood", {"total_count": 100},
                                   events=1),
}  # fmt: skip

every_family = pytest.mark.parametrize("name", ROWS)
SHAPE = (3, 4, 5)


def test_each_family_is_here() -> None:
    assert {row.kind for row in ROWS.values()} == set(FAMILIES)


def agree(family: Family, tensors: Sequence[Tensor], summed: int, dtype: torch.dtype) -> None:
    """Data come last."""
    check_agreement(
        lambda *drawn: log_prob(family.make(*drawn[:-1], summed=summed), drawn[-1]),
        lambda *drawn: family.make(*drawn[:-1], summed=summed).log_prob(drawn[-1]),
        tensors,
        dtype,
    )


@every_family
@pytest.mark.parametrize("summed", [0, 1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_agrees(name: str, summed: int, dtype: torch.dtype, kernels_called: list[str]) -> None:
    family = ROWS[name]
    agree(family, [*family.draw(*SHAPE), family.data(*SHAPE, seed=9)], summed, dtype)
    assert set(kernels_called) == {family.kernel}


@every_family
@pytest.mark.parametrize("shapes", [((4, 5), SHAPE), (SHAPE, (5,)), ((4, 1), SHAPE)], ids=str)
def test_broadcasts(name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    family = ROWS[name]
    of_parameters, of_data = shapes
    if family.events and of_parameters[-1] != of_data[-1]:
        of_parameters = (*of_parameters[:-1], of_data[-1])
    tensors = [*family.draw(*of_parameters), family.data(*of_data, seed=9)]
    for summed in (0, 1):
        agree(family, tensors, summed, torch.float64)


@every_family
def test_in_half_precision(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values: what torch computes in float64, of the numbers as they were rounded."""
    monkeypatch.setattr(Distribution, "_validate_args", False)  # Multinomial does not hand it on
    family, narrow = ROWS[name], torch.bfloat16
    drawn = [t.to(narrow) for t in (*family.draw(*SHAPE), family.data(*SHAPE, seed=9))]
    made = family.make(*drawn[:-1])
    got = log_prob(made, drawn[-1])
    held = {key: getattr(made, key).double() for key in family.parameters}
    if "probs" in held:
        held["logits"] = made.logits.double()  # there, of rounded probabilities
        del held["probs"]
    want = family.kind(**held, **family.options, validate_args=False).log_prob(drawn[-1].double())
    assert got.dtype is made.log_prob(drawn[-1]).dtype is narrow
    torch.testing.assert_close(got, want.to(narrow))


@every_family
def test_values_are_validated(name: str) -> None:
    family = ROWS[name]
    made = family.make(*family.draw(4), validate=True)
    outside = torch.full((4,), torch.nan, dtype=torch.float64)
    for function in (log_prob, lambda d, x: d.log_prob(x)):
        with pytest.raises(ValueError, match="within the support"):
            function(made, outside)


@every_family
def test_own_densities_and_integers_are_left(name: str, kernels_called: list[str]) -> None:
    family = ROWS[name]
    own = type("Own", (family.kind,), {"log_prob": lambda self, value: value + 1.0})  # type: ignore[arg-type, misc]
    ones = torch.ones(4)
    made = own(**dict(zip(family.parameters, family.draw(4), strict=True)), **family.options)
    assert torch.equal(log_prob(made, ones), ones + 1.0)
    whole = family.make(*[t.float() for t in family.draw(4)])
    try:
        want = whole.log_prob(ones.long())
    except RuntimeError:
        with pytest.raises(RuntimeError):
            log_prob(whole, ones.long())
    else:
        torch.testing.assert_close(log_prob(whole, ones.long()), want, rtol=0.0, atol=0.0)
    assert not kernels_called


@every_family
def test_patched(name: str, kernels_called: list[str]) -> None:
    """The method itself, of a subclass, too."""
    family = ROWS[name]
    tensors, value = family.draw(*SHAPE), family.data(*SHAPE, seed=9)
    inheriting = type("Inheriting", (family.kind,), {})  # type: ignore[misc, arg-type]
    named = dict(zip(family.parameters, tensors, strict=True)) | dict(family.options)
    want = family.make(*tensors).log_prob(value)
    with compat.distributions():
        for kind in (family.kind, inheriting):
            torch.testing.assert_close(kind(**named, validate_args=False).log_prob(value), want)
    assert kernels_called == [family.kernel] * 2


def test_limits() -> None:
    """Rates of 0, classes that cannot be, and counts of 0 of nothing."""
    zeros_and_ones = torch.tensor([0.0, 0.0, 1.0])
    x = torch.tensor([0.0, 2.0, 1.0])
    impossible = torch.tensor([-torch.inf, 0.0, 1.0])
    for made, value in (
        (distributions.Poisson(zeros_and_ones), x),
        (distributions.Multinomial(3, logits=impossible), x),
        (distributions.Multinomial(3, logits=impossible, validate_args=False), x + 1),
        (distributions.NegativeBinomial(zeros_and_ones[1:], logits=x[1:]), zeros_and_ones[1:]),
    ):
        torch.testing.assert_close(log_prob(made, value), made.log_prob(value))


@pytest.mark.parametrize("summed", [0, 1])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 16.0), (torch.float64, 37.0)])
def test_confident_continuous_bernoullis(dtype: torch.dtype, bound: float, summed: int) -> None:
    """Whose normaliser torch holds at that of probabilities an epsilon from 0 and 1."""
    family = ROWS["ContinuousBernoulli"]
    x = torch.tensor([[0.0], [0.25], [1.0]], dtype=dtype)
    found = []
    for function in (log_prob, lambda made, value: made.log_prob(value)):
        logits = bound * torch.tensor([-1e30, -3.0, -1.1, 0.0, 1.1, 3.0, 1e30], dtype=dtype)
        logits.requires_grad_()
        value = function(family.make(logits, summed=summed), x.expand(3, 7))
        found.append([value, *torch.autograd.grad(value.sum(), logits)])
    torch.testing.assert_close(*found)
