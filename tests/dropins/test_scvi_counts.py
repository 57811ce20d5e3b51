"""scvi-tools' likelihoods of counts.

The package brings a hundred others, so the two formulas are repeated here, from
``distributions/_negative_binomial.py`` of scvi-tools 1.4.2; where it is installed, its classes are
compared, too.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from agreement import DTYPES, check_agreement, normal
from torch import Tensor

from vaekern.compat import scvi

EPS = 1e-8
COUNTS = torch.tensor([[0.0, 1.0, 3.0], [0.0, 40.0, 700.0], [2.0, 0.0, 0.0]], dtype=torch.float64)


def nb(x: Tensor, mu: Tensor, theta: Tensor) -> Tensor:
    log_total = torch.log(theta + mu + EPS)
    powers = theta * (torch.log(theta + EPS) - log_total) + x * (torch.log(mu + EPS) - log_total)
    return powers + torch.lgamma(x + theta) - torch.lgamma(theta) - torch.lgamma(x + 1)


def zinb(x: Tensor, mu: Tensor, theta: Tensor, pi: Tensor) -> Tensor:
    log_no_count = theta * (torch.log(theta + EPS) - torch.log(theta + mu + EPS))
    zero = F.softplus(log_no_count - pi) - F.softplus(-pi)
    other = nb(x, mu, theta) - F.softplus(-pi) - pi
    return (x < EPS).float() * zero + (x > EPS).float() * other


def parameters(shape: tuple[int, ...]) -> list[Tensor]:
    """Means, dispersions and logits."""
    return [normal(3, 3).exp() * (COUNTS + 1), normal(*shape, seed=1).exp(), normal(3, 3, seed=2)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 3), (3,)], ids=["full", "per gene"])
def test_likelihoods(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    mu, theta, pi = parameters(shape)

    def of_counts(log_likelihood: Any) -> Any:
        return lambda *tensors: log_likelihood(COUNTS.to(tensors[0].dtype), *tensors)

    check_agreement(of_counts(scvi.log_nb_positive), of_counts(nb), [mu, theta], dtype)
    check_agreement(of_counts(scvi.log_zinb_positive), of_counts(zinb), [mu, theta, pi], dtype)


def test_gradients_of_counts_and_integers() -> None:
    mu, theta, pi = parameters((3,))
    check_agreement(scvi.log_nb_positive, nb, [COUNTS, mu, theta], torch.float64)
    whole = scvi.log_zinb_positive(COUNTS.long(), mu, theta, pi)
    torch.testing.assert_close(whole, zinb(COUNTS, mu, theta, pi))


def test_means_of_zero() -> None:
    """As there, an observed count costs log eps."""
    x, mu, theta = torch.tensor([0.0, 2.0]), torch.zeros(2), torch.ones(2)
    torch.testing.assert_close(scvi.log_nb_positive(x, mu, theta), nb(x, mu, theta))


def test_large_dispersions() -> None:
    """Nearly Poisson, where the difference of two lgamma leaves no digits in float32."""
    x, mu, theta = torch.tensor([3.0]), torch.tensor([2.5]), torch.tensor([1e7])
    exact = nb(x.double(), mu.double(), theta.double()).float()
    torch.testing.assert_close(scvi.log_nb_positive(x, mu, theta), exact)
    assert (nb(x, mu, theta) - exact).abs() > 0.1


@pytest.fixture(scope="module")
def module() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what scvi-tools imports
        pytest.importorskip("scvi", reason="pip install scvi-tools")
        return importlib.import_module("scvi.distributions._negative_binomial")


def test_patch(module: Any) -> None:
    mu, theta, pi = parameters((3,))
    found = []
    for patched in (False, True, False):
        patch = scvi.patch_scvi() if patched else None
        distributions = [
            module.NegativeBinomial(mu=mu, theta=theta),
            module.ZeroInflatedNegativeBinomial(mu=mu, theta=theta, zi_logits=pi),
        ]
        found.append([of.log_prob(COUNTS) for of in distributions])
        assert module.log_nb_positive.__module__ == "scvi.distributions._negative_binomial"
        if patch:
            patch.undo()
    for want, got, again in zip(*found, strict=True):
        assert torch.equal(want, again)
        assert not torch.equal(want, got)  # by other operations
        torch.testing.assert_close(got, want)
    torch.testing.assert_close(found[0][0], nb(COUNTS, mu, theta))
    torch.testing.assert_close(found[0][1], zinb(COUNTS, mu, theta, pi))


@pytest.mark.parametrize("name", ["log_fn", "lgamma_fn"])
def test_other_functions_are_used(module: Any, name: str) -> None:
    """By name, and in their place; the usual ones change nothing."""
    tensors = [COUNTS, *parameters((3,))]
    usual = {"log_fn": torch.log, "lgamma_fn": torch.lgamma}
    own = usual | {name: lambda t: 0.5 * usual[name](t)}
    for original, arguments in (
        (module.log_nb_positive, tensors[:3]),
        (module.log_zinb_positive, tensors),
    ):
        want = original(*arguments, **own)
        plain = original(*arguments)
        with scvi.patch_scvi():
            patched = getattr(module, original.__name__)
            assert torch.equal(patched(*arguments, **own), want)
            assert torch.equal(patched(*arguments, EPS, *own.values()), want)
            fused = patched(*arguments)
            assert torch.equal(patched(*arguments, EPS, *usual.values()), fused)
        assert not torch.equal(fused, plain)
        torch.testing.assert_close(fused, plain)


def test_poisson(module: Any, kernels_called: list[str]) -> None:
    rate, before = parameters((3,))[0].requires_grad_(), dict(vars(module.Poisson))
    want = module.Poisson(rate).log_prob(COUNTS)
    with scvi.patch_scvi():
        got = module.Poisson(rate, scale=rate).log_prob(COUNTS)
        with pytest.raises(ValueError, match="within the support"):
            module.Poisson(rate, validate_args=True).log_prob(COUNTS - 10.0)
    assert not kernels_called  # before it is used
    assert got.shape == want.shape
    assert kernels_called == ["poisson_log_likelihood"]
    assert dict(vars(module.Poisson)) == before
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(
        torch.autograd.grad(got.sum(), rate), torch.autograd.grad(want.sum(), rate)
    )


def test_without_scvi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scvi.distributions._negative_binomial", None)
    monkeypatch.setitem(sys.modules, "scvi", None)
    with pytest.raises(ImportError, match="scvi"):
        scvi.patch_scvi()
