"""That values are counts is asked in another way than torch does, with the same answer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import NegativeBinomial, Poisson, constraints

from vaekern.compat._support import COUNTS, are_counts
from vaekern.compat.torch_distributions import log_prob

VALID = {
    "counts": torch.tensor([[0.0, 1.0], [7.0, 3e8]]),
    "in double": torch.tensor([0.0, 2.0**53], dtype=torch.float64),
    "in half precision": torch.tensor([0.0, 5.0], dtype=torch.bfloat16),
    "minus zero": torch.tensor([-0.0, 1.0]),
    "a column": torch.arange(6.0).reshape(2, 3)[:, 1],
    "shared": torch.tensor([2.0]).expand(4),
}
INVALID = {
    "a fraction": torch.tensor([1.0, 0.5]),
    "negative": torch.tensor([3.0, -1.0]),
    "a negative fraction": torch.tensor([3.0, -0.25]),
    "NaN": torch.tensor([1.0, torch.nan]),
    "infinite": torch.tensor([1.0, torch.inf]),
}
#: Left to torch, which finds all of them valid.
LEFT = {
    "none": torch.empty(0),
    "integers": torch.tensor([1, 2]),
    "requires grad": torch.tensor([1.0, 2.0], requires_grad=True),
}


@pytest.mark.parametrize("name", VALID)
def test_counts(name: str) -> None:
    assert are_counts(VALID[name])


@pytest.mark.parametrize("name", INVALID)
def test_others(name: str) -> None:
    assert not are_counts(INVALID[name])


@pytest.mark.parametrize("value", [*VALID.values(), *INVALID.values(), *LEFT.values()])
def test_the_same_answer(value: Tensor) -> None:
    got, want = COUNTS.check(value), constraints.nonnegative_integer.check(value)
    assert torch.equal(got, want)
    assert got.dtype is want.dtype


def test_stands_for_the_original() -> None:
    assert isinstance(COUNTS, type(constraints.nonnegative_integer))
    assert repr(COUNTS) == repr(constraints.nonnegative_integer)
    assert COUNTS.is_discrete
    assert COUNTS.event_dim == 0


@pytest.mark.parametrize("name", INVALID)
def test_log_probabilities_are_refused_as_there(name: str) -> None:
    rate, value = torch.ones(2), INVALID[name]
    poisson = Poisson(rate, validate_args=True)
    for made in (poisson, NegativeBinomial(rate, logits=rate, validate_args=True)):
        with pytest.raises(ValueError, match="within the support") as expected:
            made.log_prob(value)
        with pytest.raises(ValueError, match="within the support") as got:
            log_prob(made, value)
        assert str(got.value) == str(expected.value)


def test_a_shape_that_does_not_fit_is_refused_as_there() -> None:
    made, value = Poisson(torch.ones(3), validate_args=True), torch.ones(2)
    for function in (log_prob, Poisson.log_prob):
        with pytest.raises(ValueError, match="not broadcastable with batch_shape"):
            function(made, value)
