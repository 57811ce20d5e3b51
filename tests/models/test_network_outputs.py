"""Errors say what a network returned and what was expected of it; one tensor may be split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vaekern as vk
from vaekern import posteriors

PIXELS, LATENT, BATCH = (
    6,
    3,
    6,
)  # as many datapoints as elements: what is not summed would broadcast
X = torch.rand(BATCH, PIXELS, generator=torch.Generator().manual_seed(0))


class Encoder(nn.Linear):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x).chunk(2, dim=-1)


def make(**options: Any) -> vk.VAE:
    torch.manual_seed(0)
    return vk.VAE(Encoder(PIXELS, 2 * LATENT), nn.Linear(LATENT, PIXELS), **options)


# --- what networks return -------------------------------------------------------------------------


class Returning(nn.Module):
    """What a function makes of three halves of its input."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


ENCODERS: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "one tensor": (lambda x: x, r"got one tensor of shape \(6, 6\); vk.VAE\(..., split=True\)"),
    "dict": (lambda x: {"mu": x, "logvar": x}, r"got a dict with the keys \['mu', 'logvar'\]"),
    "three": (lambda x: (x, x, x), r"got a tuple of 3: \(Tensor, Tensor, Tensor\)"),
    "none": (lambda x: None, r"got NoneType"),
    "shapes": (lambda x: (x, x[:, :1]), r"of one shape, got one tensor of shape \(6, 6\)"),
    "number": (lambda x: (x, 0.0), r"of one shape"),
}


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("batch", [1, 2, BATCH])
def test_an_encoder_that_returns_something_else(kind: str, batch: int) -> None:
    function, says = ENCODERS[kind]
    model = vk.VAE(Returning(function), nn.Linear(PIXELS, PIXELS))
    says = says.replace("6, 6", f"{batch}, 6")
    with pytest.raises(TypeError, match=rf"^encoder: expected a tuple \(mu, logvar\).*{says}"):
        model(X[:batch])


@pytest.mark.parametrize(
    ("family", "function"),
    [
        (posteriors.FullGaussian, lambda x: x),
        (posteriors.FullGaussian.from_raw, lambda x: (x, x, x)),
        (posteriors.LowRankGaussian, lambda x: (x, x)),
        (posteriors.DiagonalGaussian, lambda x: {"mu": x}),
    ],
)
def test_an_encoder_that_does_not_fit_the_posterior(family: Any, function: Any) -> None:
    model = vk.VAE(Returning(function), nn.Linear(PIXELS, PIXELS), posterior=family)
    with pytest.raises(TypeError, match=r"^encoder: expected"):
        model(X)


def test_a_type_error_of_the_posterior_s_own_stays_that() -> None:
    def family(mu: Tensor, logvar: Tensor) -> Any:
        raise TypeError("own")

    with pytest.raises(TypeError, match=r"^own$"):
        make(posterior=family)(X)
    with pytest.raises(TypeError, match=r"^posterior: expected a function that returns a"):
        make(posterior=lambda mu, logvar: mu)(X)


SPLITS = [(True, (4,)), (1, (4, 5, 2)), (-1, (5, 4)), (2, (5, 4))]


@pytest.mark.parametrize(("split", "shape"), SPLITS)
def test_one_tensor_of_twice_the_width(split: bool | int, shape: tuple[int, ...]) -> None:
    raw = torch.randn(BATCH, *shape)
    model = vk.VAE(nn.Identity(), nn.Identity(), split=split)
    mu, logvar = raw.chunk(2, dim=int(split))
    assert torch.equal(model.encode(raw)[0], mu)
    assert torch.equal(model.encode(raw)[1], logvar)
    pair = vk.VAE(Returning(lambda x: (x, x)), nn.Identity(), split=split)
    assert torch.equal(pair.encode(raw)[1], raw)  # which needs none


def test_what_cannot_be_split() -> None:
    for split, shape in ((True, (3,)), (3, (4,))):
        with pytest.raises(ValueError, match=r"^encoder: expected a tensor with an even size"):
            vk.VAE(nn.Identity(), nn.Identity(), split=split)(torch.zeros(2, *shape))
    with pytest.raises(ValueError, match=r"^split: expected False beside posterior"):
        make(posterior=posteriors.DiagonalGaussian, split=True)


T = torch.zeros(4, PIXELS)
TWO = (T, T)
DECODERS: dict[str, tuple[vk.Likelihood, list[Any], str]] = {
    "bernoulli": (vk.BernoulliLikelihood(), [TWO, None], "a tensor of logits"),
    "continuous": (vk.ContinuousBernoulliLikelihood(), [TWO], "a tensor of logits"),
    "categorical": (vk.CategoricalLikelihood(), [TWO], "a tensor of logits"),
    "poisson": (vk.PoissonLikelihood(), [TWO], "a tensor of log-rates"),
    "mixture": (vk.LogisticMixtureLikelihood(), [TWO], "a tensor of mixture parameters"),
    "gaussian": (vk.GaussianLikelihood(), [(T,), (T,) * 3, {}, (0, T)], r"mean or a tuple"),
    "laplace": (vk.LaplaceLikelihood(), [(T,), (T,) * 3], r"loc or a tuple \(loc, log_scale\)"),
    "student": (vk.StudentTLikelihood(3.0), [(T,) * 3], r"loc or a tuple \(loc, log_scale\)"),
    "logistic": (vk.DiscretizedLogisticLikelihood(), [(T,) * 3], r"loc or a tuple"),
    "binomial": (vk.NegativeBinomialLikelihood(), [(T,) * 3], r"log_mean or a tuple"),
    "zeros": (
        vk.ZeroInflatedNegativeBinomialLikelihood(), [T, (T,) * 3, {"a": T}],
        r"a tuple \(log_mean, zero_logits\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DECODERS)
def test_a_decoder_that_returns_something_else(kind: str) -> None:
    likelihood, outputs, says = DECODERS[kind]
    x, mu = torch.ones(4, PIXELS), torch.zeros(4, LATENT)
    for output in outputs:
        for use in (
            lambda output=output: vk.elbo_loss(output, x, mu, mu, likelihood),
            lambda output=output: likelihood.log_prob(output, x),
            lambda output=output: likelihood.mean(output),
            lambda output=output: likelihood.sample(output),
        ):
            with pytest.raises(TypeError, match=f"^decoder_output: expected {says}"):
                use()


@pytest.mark.parametrize(
    "likelihood",
    ["bernouli", vk.GaussianLikelihood, nn.BCEWithLogitsLoss(), None, ["gaussian"], torch.ones(2)],
    ids=["typo", "class", "loss", "none", "list", "tensor"],
)
def test_a_likelihood_that_is_none_is_refused_at_once(likelihood: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^likelihood: expected"):
        make(likelihood=likelihood)
    with pytest.raises((TypeError, ValueError), match=r"^likelihood: expected"):
        vk.elbo_loss(T, T, T, T, likelihood=likelihood)


def test_a_scale_that_is_none_is_refused_at_once() -> None:
    for call in (make, vk.GaussianLikelihood):
        with pytest.raises(ValueError, match=r"^scale: expected one of"):
            call(scale="variance")
