"""Classes and counts of classes: errors, modules, and the loss."""

from __future__ import annotations

import math
from typing import Any

import backends
import pytest
import torch
from torch import Tensor

import vaekern as vk

INF, NAN = math.inf, math.nan


# --- errors ---------------------------------------------------------------------------------------


def t(*shape: int, dtype: torch.dtype = torch.float32, device: str = "meta") -> Tensor:
    return torch.empty(shape, dtype=dtype, device=device)


I64 = torch.int64
CATEGORICAL = {"logits": t(4, 3), "x": t(4, dtype=I64)}
MULTINOMIAL = {"logits": t(4, 3), "counts": t(4, 3)}


@pytest.mark.parametrize(
    ("arguments", "instead", "error", "got", "wanted"),
    [
        (CATEGORICAL, {"logits": t(4, 3, dtype=I64)}, TypeError, "int64", "float32"),
        (CATEGORICAL, {"logits": [1.0]}, TypeError, "list", "tensor"),
        (CATEGORICAL, {"logits": t()}, ValueError, "()", "classes"),
        (CATEGORICAL, {"logits": t(4, 0)}, ValueError, "(4, 0)", "classes"),
        (CATEGORICAL, {"x": t(4)}, TypeError, "float32", "int64"),
        (CATEGORICAL, {"x": t(4, dtype=torch.bool)}, TypeError, "bool", "int64"),
        (CATEGORICAL, {"x": 1}, TypeError, "int", "tensor"),
        (CATEGORICAL, {"x": t(4, 3, dtype=I64)}, ValueError, "(4, 3)", "(4,)"),
        (CATEGORICAL, {"x": t(4, dtype=I64, device="cpu")}, ValueError, "cpu", "meta"),
        (CATEGORICAL, {"mask": t(4, 3, dtype=torch.bool)}, ValueError, "(4, 3)", "logits, (4,)"),
        (CATEGORICAL, {"mask": t(4)}, TypeError, "float32", "bool"),
        (CATEGORICAL, {"batch_dims": 2}, ValueError, "2", "0 to 1"),
        (CATEGORICAL, {"batch_dims": -1}, ValueError, "-1", "0 to 1"),
        (MULTINOMIAL, {"logits": t(4, 3, dtype=I64)}, TypeError, "int64", "float32"),
        (MULTINOMIAL, {"counts": t(4, 3, dtype=torch.bool)}, TypeError, "bool", "int64"),
        (MULTINOMIAL, {"counts": t(4)}, ValueError, "(4,)", "(4, 3)"),
        (MULTINOMIAL, {"counts": t(4, 3, device="cpu")}, ValueError, "cpu", "meta"),
        (MULTINOMIAL, {"coefficient": 1}, TypeError, "int", "bool"),
        (MULTINOMIAL, {"mask": t(4, 3, dtype=torch.bool)}, ValueError, "(4, 3)", "logits, (4,)"),
        (MULTINOMIAL, {"mask": t(4)}, TypeError, "float32", "bool"),
        (MULTINOMIAL, {"mask": t(4, dtype=torch.bool, device="cpu")}, ValueError, "cpu", "meta"),
        (MULTINOMIAL, {"batch_dims": 2}, ValueError, "2", "0 to 1"),
    ],
)
def test_errors(
    arguments: dict[str, Any],
    instead: dict[str, Any],
    error: type[Exception],
    got: str,
    wanted: str,
) -> None:
    is_categorical = "x" in arguments
    function = vk.categorical_log_likelihood if is_categorical else vk.multinomial_log_likelihood
    (name,) = instead
    with pytest.raises(error, match=rf"^{name}\b") as caught:
        function(**{**arguments, **instead})
    assert got in str(caught.value)
    assert wanted in str(caught.value)


# --- modules and the loss -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["categorical", "multinomial", "without coefficient"])
@pytest.mark.parametrize("positions", [(), (4,)])
def test_in_the_loss(name: str, positions: tuple[int, ...]) -> None:
    logits, mu = torch.randn(3, *positions, 5, requires_grad=True), torch.randn(3, 2)
    if name == "categorical":
        x = torch.randint(0, 5, (3, *positions))
        want = vk.categorical_log_likelihood(logits, x)
    else:
        x = torch.rand(3, *positions, 5)
        want = vk.multinomial_log_likelihood(logits, x, coefficient=name == "multinomial")
    module = vk.MultinomialLikelihood(coefficient=False) if " " in name else name
    got = vk.elbo_loss(logits, x, mu, mu, module)
    torch.testing.assert_close(got, (vk.gaussian_kl(mu, mu) - want).mean())
    torch.testing.assert_close(
        *[torch.autograd.grad(loss, logits)[0] for loss in (got, -want.mean())]
    )


@pytest.mark.parametrize("batch_dims", [0, 1, 2])
def test_positions_outside_a_mask_are_not_there(batch_dims: int, implementation: str) -> None:
    logits = torch.randn(3, 5, 7, dtype=torch.float64, device=backends.device).requires_grad_()
    x = torch.randint(7, (3, 5), device=backends.device)
    mask = torch.rand(3, 5, device=backends.device) < 0.6
    x[~mask] = 99  # no class
    got = vk.categorical_log_likelihood(logits, x, mask=mask, batch_dims=batch_dims)
    inside = x.where(mask, 0)[..., None]
    terms = logits.log_softmax(-1).gather(-1, inside)[..., 0] * mask
    want = terms if batch_dims == 2 else terms.flatten(batch_dims).sum(-1)
    torch.testing.assert_close(got, want)
    gradients = [torch.autograd.grad(value.sum(), logits)[0] for value in (got, want)]
    torch.testing.assert_close(*gradients)
    assert not gradients[0][~mask].any()


def test_a_mask_leaves_positions_out() -> None:
    logits, mu = torch.randn(3, 4, 5), torch.randn(3, 2)
    mask = torch.rand(3, 4) < 0.5
    classes, counts = torch.randint(0, 5, (3, 4), dtype=torch.uint8), torch.rand(3, 4, 5)
    without = vk.MultinomialLikelihood(coefficient=False)
    for likelihood, x, rows in (
        ("categorical", classes, vk.categorical_log_likelihood(logits, classes, batch_dims=2)),
        ("multinomial", counts, vk.multinomial_log_likelihood(logits, counts, batch_dims=2)),
        (without, counts, without.log_prob(logits, counts, batch_dims=2)),
    ):
        got = vk.elbo_loss(logits, x, mu, mu, likelihood, mask=mask)
        torch.testing.assert_close(got, (vk.gaussian_kl(mu, mu) - (rows * mask).sum(1)).mean())


def test_samples_have_the_probabilities() -> None:
    p = torch.tensor([0.5, 0.3, 0.2, 0.0])
    logits = p.log().expand(2, 10_000, 4)
    generator = torch.Generator().manual_seed(1)
    x = vk.CategoricalLikelihood().sample(logits, generator)
    assert x.shape == (2, 10_000)
    torch.testing.assert_close(
        torch.bincount(x.flatten(), minlength=4) / 20_000, p, rtol=0, atol=0.02
    )
    likelihood = vk.MultinomialLikelihood(total=7)
    counts = likelihood.sample(logits, generator)
    assert counts.sum(-1).eq(7.0).all()
    torch.testing.assert_close(counts.mean((0, 1)), 7 * p, rtol=0.0, atol=0.1)
    torch.testing.assert_close(likelihood.mean(logits)[0, 0], 7 * p)
    torch.testing.assert_close(vk.CategoricalLikelihood().mean(logits)[0, 0], p)
