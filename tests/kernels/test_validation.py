"""``vk.validate``: values outside of a support, and likely mistakes, are named; without it, and for
what is right, nothing happens."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vaekern as vk

generator = torch.Generator().manual_seed(0)
X = torch.rand(4, 6, generator=generator)
REAL = torch.randn(4, 6, generator=generator)
PROBABILITIES = torch.rand(4, 6, generator=generator)
STD = torch.rand(4, 6, generator=generator) + 0.5
COUNTS = torch.poisson(torch.full((4, 6), 3.0), generator=generator)
LEVELS = (torch.randint(0, 256, (4, 6), generator=generator) / 127.5 - 1.0).float()
PIXELS = torch.randint(0, 256, (4, 6), generator=generator).float()
SHARES = PROBABILITIES.softmax(-1)
CLASSES = torch.tensor([0, 1, 4, 5])
WEIGHT = torch.randn(6, 3, generator=generator)
HIDDEN = torch.randn(4, 3, generator=generator)


def with_nan(x: Tensor) -> Tensor:
    x = x.clone()
    x[2, 3] = torch.nan
    return x


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "bernoulli, pixels": (
        lambda: vk.bernoulli_log_likelihood(REAL, PIXELS), r"^x: .*\[0, 1\].*0..255.*uint8"
    ),
    "bernoulli, centred": (
        lambda: vk.bernoulli_log_likelihood(REAL, 2 * X - 1), r"^x: .*\[0, 1\].*Gaussian"
    ),
    "bernoulli, NaN": (
        lambda: vk.bernoulli_log_likelihood(with_nan(REAL), X), r"^logits: .*nan at \(2, 3\)"
    ),
    "bernoulli, NaN in x": (
        lambda: vk.bernoulli_log_likelihood(REAL, with_nan(X)), r"^x: .*nan at \(2, 3\)"
    ),
    "bernoulli, probabilities": (
        lambda: vk.bernoulli_log_likelihood(PROBABILITIES, X), r"^logits: .*probabilities.*sigmoid"
    ),
    "continuous bernoulli": (
        lambda: vk.continuous_bernoulli_log_likelihood(PROBABILITIES, X), r"^logits: .*sigmoid"
    ),
    "probabilities, logits": (
        lambda: vk.bernoulli_probs_log_likelihood(REAL, X), r"^probs: .*logits\?"
    ),
    "gaussian, pixels": (
        lambda: vk.gaussian_log_likelihood(REAL, PIXELS), r"^x: .*0..255.*divide by 255"
    ),
    "gaussian, std": (
        lambda: vk.gaussian_log_likelihood(REAL, X, STD), r"^logvar: .*standard deviations\?"
    ),
    "gaussian, logvar": (
        lambda: vk.gaussian_log_likelihood(REAL, X, REAL, scale="std"), r"^logvar: .*log-variances"
    ),
    "laplace, pixels": (lambda: vk.laplace_log_likelihood(REAL, PIXELS), r"^x: .*0..255"),
    "student, df": (
        lambda: vk.student_t_log_likelihood(REAL, X, 0.0, -1.0), r"^df: .*positive.*-1"
    ),
    "logistic, unit": (
        lambda: vk.discretized_logistic_log_likelihood(REAL, PIXELS / 255, 0.0), r"^x: .*2 x - 1"
    ),
    "logistic, pixels": (
        lambda: vk.discretized_logistic_log_likelihood(REAL, PIXELS, 0.0), r"^x: .*\[-1, 1\]"
    ),
    "mixture, unit": (
        lambda: vk.logistic_mixture_log_likelihood(
            torch.randn(2, 20, 3), torch.rand(2, 3, 3)), r"^x: .*256 levels"
    ),
    "categorical, from 1": (
        lambda: vk.categorical_log_likelihood(REAL, CLASSES + 1), r"^x: .*0 to 5, got 6 at \(3, 0\)"
    ),
    "categorical, ignored": (
        lambda: vk.categorical_log_likelihood(REAL, CLASSES - 100), r"^x: .*mask="
    ),
    "categorical, softmax": (
        lambda: vk.categorical_log_likelihood(SHARES, CLASSES), r"^logits: .*softmax"
    ),
    "multinomial, negative": (
        lambda: vk.multinomial_log_likelihood(REAL, -COUNTS), r"^counts: .*negative"
    ),
    "multinomial, softmax": (
        lambda: vk.multinomial_log_likelihood(SHARES, COUNTS), r"^logits: .*softmax"
    ),
    "poisson, fraction": (
        lambda: vk.poisson_log_likelihood(REAL, COUNTS / 2), r"^x: .*whole numbers.*normalised"
    ),
    "poisson, negative": (
        lambda: vk.poisson_log_likelihood(REAL, COUNTS - 9), r"^x: .*no negative"
    ),
    "poisson, rates": (
        lambda: vk.poisson_log_likelihood(REAL.exp() + 90, COUNTS), r"^log_rate: .*rates"
    ),
    "negative binomial": (
        lambda: vk.negative_binomial_log_likelihood(REAL, COUNTS.log1p(), 0.0), r"^x: .*whole"
    ),
    "zero-inflated": (
        lambda: vk.zero_inflated_negative_binomial_log_likelihood(REAL, COUNTS - 0.5, 0.0, 0.0),
        r"^x: ",
    ),
    "kl, std": (lambda: vk.gaussian_kl(REAL, STD), r"^logvar: .*standard deviations\?"),
    "kl, log_std": (
        lambda: vk.gaussian_kl(REAL, STD, scale="log_std"), r"^logvar: .*standard deviations\?"
    ),
    "kl, logvar": (lambda: vk.gaussian_kl(REAL, REAL, scale="std"), r"^logvar: .*log-variances\?"),
    "kl, prior": (
        lambda: vk.gaussian_kl(REAL, STD, 0.0, REAL, scale="std"), r"^prior_logvar: .*log-var"
    ),
    "sample, std": (lambda: vk.sample_with_kl(REAL, STD), r"^logvar: .*standard deviations\?"),
    "tril": (
        lambda: vk.gaussian_kl_tril(REAL, torch.diag_embed(REAL)), r"^diagonal of tril: .*positive"
    ),
    "elbo": (lambda: vk.elbo_loss(REAL, PIXELS, REAL, REAL), r"^x: .*0..255"),
    "elbo, posterior": (lambda: vk.elbo_loss(REAL, X, REAL, STD), r"^logvar: "),
    "elbo, weights": (
        lambda: vk.elbo_loss(REAL, X, REAL, REAL, weights=torch.tensor([1.0, -1, 1, 1])),
        r"^weights: .*negative.*-1.0 at \(1,\)",
    ),
    "asymmetric laplace, pixels": (
        lambda: vk.asymmetric_laplace_log_likelihood(REAL, PIXELS), r"^x: .*no pixels.*0..255"
    ),
    "sample alone, std": (lambda: vk.reparameterize(REAL, STD), r"^logvar: .*deviations\?"),
    "sample alone, logvar": (
        lambda: vk.reparameterize(REAL, REAL, scale="std"), r"^logvar: .*log-variances\?"
    ),
    "mmd, NaN": (
        lambda: vk.objectives.mmd(REAL, with_nan(REAL)), r"^prior_z: .*nan at \(2, 3\)"
    ),
    "bound, NaN": (
        lambda: vk.objectives.importance_weighted_bound(with_nan(REAL)),
        r"^log_weights: .*nan at \(2, 3\)",
    ),
    "order, NaN": (
        lambda: vk.objectives.renyi_bound(with_nan(REAL), 0.5), r"^log_weights: .*nan at"
    ),
    "linear, NaN": (
        lambda: vk.linear_bernoulli_log_likelihood(HIDDEN * torch.nan, WEIGHT, None, X),
        r"^hidden: .*nan at",
    ),
    "linear, NaN in the weight": (
        lambda: vk.linear_gaussian_log_likelihood(HIDDEN, WEIGHT * torch.nan, None, X),
        r"^weight: .*nan at",
    ),
    "linear": (
        lambda: vk.linear_bernoulli_log_likelihood(HIDDEN, WEIGHT, None, PIXELS), r"^x: .*0..255"
    ),
    "linear, classes": (
        lambda: vk.linear_categorical_log_likelihood(HIDDEN, WEIGHT, None, CLASSES + 1), r"^x: "
    ),
    "linear, std": (
        lambda: vk.linear_gaussian_log_likelihood(HIDDEN, WEIGHT, None, X, STD), r"^logvar: "
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_named(what: str) -> None:
    call, says = MISTAKES[what]
    with contextlib.suppress(RuntimeError):  # torch's own, of a class that is none
        call()  # nobody asked
    with vk.validate(), pytest.raises(ValueError, match=says):
        call()


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_is_named_on_the_reference(what: str) -> None:
    call, says = MISTAKES[what]
    with vk.validate(), vk.backend("reference"), pytest.raises(ValueError, match=says):
        call()


RIGHT: dict[str, Callable[[], Any]] = {
    "bernoulli": lambda: vk.bernoulli_log_likelihood(REAL, X),
    "bytes": lambda: vk.bernoulli_log_likelihood(REAL, PIXELS.byte()),
    "infinite logits": lambda: vk.bernoulli_log_likelihood(REAL * torch.inf, X.round()),
    "logits at first": lambda: vk.bernoulli_log_likelihood(torch.zeros(4, 6), X),
    "gaussian": lambda: vk.gaussian_log_likelihood(REAL, REAL, REAL),
    "large data": lambda: vk.gaussian_log_likelihood(REAL, 100 * REAL, STD + 5),
    "logistic": lambda: vk.discretized_logistic_log_likelihood(REAL, LEVELS, 0.0),
    "logistic of bytes": lambda: vk.discretized_logistic_log_likelihood(REAL, PIXELS.byte(), 0.0),
    "classes": lambda: vk.categorical_log_likelihood(REAL, CLASSES),
    "counts": lambda: vk.poisson_log_likelihood(REAL, COUNTS),
    "counts of integers": lambda: vk.poisson_log_likelihood(REAL, COUNTS.long()),
    "words": lambda: vk.multinomial_log_likelihood(REAL, COUNTS),
    "kl": lambda: vk.gaussian_kl(REAL, REAL),
    "kl of std": lambda: vk.gaussian_kl(REAL, STD, scale="std"),
    "variance 1": lambda: vk.gaussian_kl(REAL, torch.zeros(4, 6)),
    "linear": lambda: vk.linear_bernoulli_log_likelihood(HIDDEN, WEIGHT, None, X),
    "outside a mask": lambda: vk.bernoulli_log_likelihood(
        with_nan(REAL), with_nan(X), mask=~with_nan(REAL).isnan()
    ),
    "classes outside a mask": lambda: vk.categorical_log_likelihood(
        REAL, torch.tensor([0, -100, 1, 2]), mask=torch.tensor([True, False, True, True])
    ),
    "linear outside a mask": lambda: vk.linear_bernoulli_log_likelihood(
        HIDDEN, WEIGHT, None, with_nan(X), mask=~with_nan(X).isnan()
    ),
}


@pytest.mark.parametrize("what", RIGHT)
def test_what_is_right_passes(what: str) -> None:
    with vk.validate():
        RIGHT[what]()


class Encoder(nn.Linear):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = super().forward(x).chunk(2, dim=-1)
        return mu, logvar


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "laplace"])
def test_a_model(likelihood: str) -> None:
    model = vk.VAE(Encoder(6, 6), nn.Linear(3, 6), likelihood=likelihood)
    with vk.validate():
        model(X).loss.backward()
        model.elbo(X, 2)
        model.log_marginal_likelihood(X, 4)
        model.sample(3, mean=False)
        with pytest.raises(ValueError, match=r"^x: .*0..255"):
            model(PIXELS)


def test_it_nests_and_ends_with_an_error() -> None:
    with vk.validate():
        with vk.validate(False):
            vk.bernoulli_log_likelihood(REAL, PIXELS)
        with pytest.raises(ValueError, match=r"^x: "):
            vk.bernoulli_log_likelihood(REAL, PIXELS)
    vk.bernoulli_log_likelihood(REAL, PIXELS)


def test_transforms_and_tensors_without_data_are_not_checked() -> None:
    with vk.validate():
        torch.func.vmap(lambda x: vk.bernoulli_log_likelihood(x, x, batch_dims=0))(PIXELS)
        torch.func.grad(lambda x: vk.bernoulli_log_likelihood(x, x, batch_dims=0))(PIXELS)
        vk.gaussian_kl(REAL.to("meta"), REAL.to("meta"))
        compiled = torch.compile(vk.bernoulli_log_likelihood, backend="eager", fullgraph=True)
        compiled(REAL, PIXELS)


@pytest.mark.parametrize(
    ("setting", "raises"),
    [
        ("1", True),
        pytest.param("0", False, marks=pytest.mark.exhaustive),
        pytest.param("", False, marks=pytest.mark.exhaustive),
    ],
)
def test_the_environment_variable(setting: str, raises: bool) -> None:
    code = (
        "import torch, vaekern as vk; x = torch.full((2,), 2.0); vk.bernoulli_log_likelihood(x, x)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"VAEKERN_VALIDATE": setting},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode != 0) == raises, run.stderr
    assert ("ValueError: x: expected numbers in [0, 1], got 2.0 at (0,)" in run.stderr) == raises
