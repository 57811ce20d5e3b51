"""What a model takes beside its networks, and what errors say of networks that return something
else."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vaekern as vk
from vaekern import objectives, posteriors, priors
from vaekern.likelihoods import NAMED

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


# --- the options of elbo_loss ---------------------------------------------------------------------

MASK = torch.rand(BATCH, PIXELS, generator=torch.Generator().manual_seed(2)) > 0.3
WEIGHTS = torch.rand(BATCH, generator=torch.Generator().manual_seed(3))
OPTIONS: dict[str, dict[str, Any]] = {
    "mask": {"mask": MASK},
    "weights": {"weights": WEIGHTS},
    "dimension": {"free_bits": 0.05},
    "group": {"free_bits": 0.05, "free_bits_over": "group"},
    "sample": {"free_bits": 0.3, "free_bits_over": "sample"},
    "batch": {"free_bits": 0.3, "free_bits_over": "batch"},
    "capacity": {"capacity": 0.2},
    "all": {"mask": MASK, "weights": WEIGHTS, "free_bits": 0.05},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "poisson"])
def test_options_are_those_of_the_loss(name: str, likelihood: str) -> None:
    options = OPTIONS[name]
    model, x = make(likelihood=likelihood, beta=0.7), X.round()
    out = model(x, seed=5, **options)
    arguments = (out.decoder_output, x, out.mu, out.logvar, model.likelihood)
    want = vk.elbo_loss(*arguments, beta=0.7, **options)
    torch.testing.assert_close(out.loss, want)
    torch.testing.assert_close(out.kl, vk.gaussian_kl(out.mu, out.logvar))
    parameters = list(model.parameters())
    for a, b in zip(
        torch.autograd.grad(out.loss, parameters, retain_graph=True),
        torch.autograd.grad(want, parameters),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


class Split(nn.Module):
    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.sizes = sizes

    def forward(self, output: Tensor) -> Any:
        return output.split(self.sizes, dim=-1)


def test_free_bits_of_other_posteriors() -> None:
    family = posteriors.FullGaussian.from_raw
    encoder = nn.Sequential(nn.Linear(PIXELS, LATENT + 6), Split(LATENT, 6))
    model = vk.VAE(encoder, nn.Linear(LATENT, PIXELS), posterior=family)
    out = model(X, seed=1, free_bits=0.3, free_bits_over="sample")
    want = (out.kl.clamp(min=0.3) - out.log_likelihood).mean()
    torch.testing.assert_close(out.loss, want)
    with pytest.raises(ValueError, match=r"^free_bits_over: expected 'sample' or 'batch' for KL"):
        model(X, free_bits=0.3)


def test_free_bits_with_a_learned_prior() -> None:
    model = make(prior=priors.LearnedGaussian(LATENT, 0.3, -0.5), scale="log_std")
    out = model(X, seed=1, free_bits=0.2)
    prior = (model.prior.mu, 0.5 * model.prior.logvar)
    kl = objectives.free_bits_kl(out.mu, out.logvar, *prior, free_bits=0.2, scale="log_std")
    torch.testing.assert_close(out.loss, (kl - out.log_likelihood).mean())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"free_bits": 1.0, "capacity": 1.0}, "^free_bits and capacity: "),
        ({"free_bits": 1.0, "free_bits_over": "all"}, "^free_bits_over: expected one of"),
        ({"weights": torch.ones(2)}, "^weights: "),
        ({"mask": torch.ones(2, 2, dtype=torch.bool)}, "^mask: "),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()(X, **options)


# --- densities of one's own -----------------------------------------------------------------------


class Own(vk.Likelihood):
    def __init__(self, reduce: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.reduce = reduce

    def log_prob(self, decoder_output: Any, x: Tensor, *, batch_dims: int = 1) -> Tensor:
        return self.reduce(-0.5 * (decoder_output - x) ** 2)

    def mean(self, decoder_output: Any) -> Tensor:
        return decoder_output


USES: dict[str, Callable[[vk.VAE], Any]] = {
    "forward": lambda model: model(X),
    "elbo": lambda model: model.elbo(X),
    "bound": lambda model: objectives.importance_weighted(model, X, 2),
    "evaluation": lambda model: model.log_marginal_likelihood(X, 2),
    "loss": lambda model: vk.elbo_loss(X, X, X, X, model.likelihood),
    "mask": lambda model: vk.elbo_loss(X, X, X, X, model.likelihood, mask=MASK),
}


NO_SUMS: list[Callable[[Tensor], Tensor]] = [
    lambda t: t,
    torch.mean,
    lambda t: t.sum(-1, keepdim=True),
]


@pytest.mark.parametrize("use", [use for use in USES if use != "mask"])
@pytest.mark.parametrize("reduce", NO_SUMS, ids=["terms", "mean", "kept"])
def test_a_log_prob_that_is_no_sum_is_refused(use: str, reduce: Any) -> None:
    with pytest.raises(ValueError, match=r"^log_prob of Own: expected one value per datapoint"):
        USES[use](make(likelihood=Own(reduce)))


def test_a_log_prob_without_terms_is_refused_with_a_mask() -> None:
    with pytest.raises(ValueError, match=r"^mask: expected a likelihood with one term for each"):
        USES["mask"](make(likelihood=Own(torch.mean)))


@pytest.mark.parametrize("base", [vk.BernoulliLikelihood, vk.MultinomialLikelihood])
def test_a_log_prob_that_is_overridden_is_the_one_that_counts(base: Any) -> None:
    class Halved(base):  # type: ignore[misc]
        def log_prob(self, decoder_output: Any, x: Tensor, *, batch_dims: int = 1) -> Tensor:
            return 0.5 * super().log_prob(decoder_output, x, batch_dims=batch_dims)

    x, mu = X.round(), torch.zeros(BATCH, LATENT)
    whole, half = (vk.elbo_loss(X - 0.5, x, mu, mu, kind()) for kind in (base, Halved))
    torch.testing.assert_close(2.0 * half, whole)
    if base is vk.BernoulliLikelihood:
        loss = functools.partial(vk.elbo_loss, X - 0.5, x, mu, mu, mask=MASK)
        torch.testing.assert_close(2.0 * loss(Halved()), loss(base()))


def test_a_prior_that_is_no_sum_is_refused() -> None:
    class Loose(priors.Prior):
        def log_prob(self, z: Tensor, *, batch_dims: int = 1) -> Tensor:
            return -0.5 * z.square().mean()

    with pytest.raises(ValueError, match=r"^log_prob of Loose: expected one value per datapoint"):
        make(prior=Loose())(X)


def test_a_posterior_of_more_batch_dimensions_is_refused() -> None:
    family = functools.partial(posteriors.DiagonalGaussian, batch_dims=2)
    with pytest.raises(ValueError, match=r"^posterior: kl: expected one value per datapoint"):
        make(posterior=family)(X)


def test_a_flow_with_one_determinant_for_all_is_refused() -> None:
    class Doubled(posteriors.Flow):
        def forward(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
            return 2.0 * y, torch.tensor(2.0).log() * y.shape[-1]

    class Family(nn.Module):
        def forward(self, mu: Tensor, logvar: Tensor) -> posteriors.Posterior:
            base = posteriors.DiagonalGaussian(mu, logvar)
            return posteriors.Transformed(base, [Doubled()])

    with pytest.raises(ValueError, match=r"^Doubled: expected log\|det\| for each datapoint"):
        make(posterior=Family())(X)


# --- methods --------------------------------------------------------------------------------------


def test_which_methods_keep_the_graph() -> None:
    """All that the class does not name."""
    model = make()
    z = torch.randn(BATCH, LATENT)
    assert model(X).loss.requires_grad
    assert model.elbo(X).requires_grad
    assert model.reconstruct(X).requires_grad
    assert model.decode(z).requires_grad
    assert model.encode(X)[0].requires_grad
    assert model.infer(X).rsample().requires_grad
    assert not model.sample(2).requires_grad
    assert not model.sample(2, mean=False).requires_grad
    assert not model.decode(z, mean=False).requires_grad
    assert not model.infer(X).sample().requires_grad
    assert not model.log_marginal_likelihood(X, 2).requires_grad


#: What makes a likelihood's parameters of the outputs of a decoder of this test.
OUTPUTS = {
    "bernoulli_probs": torch.sigmoid,
    "logistic_mixture": lambda outputs: outputs[..., None, None].repeat(1, 5, 2, 2),
    "zero_inflated_negative_binomial": lambda outputs: (outputs, outputs),
}


@pytest.mark.parametrize("likelihood", NAMED)
def test_draws_of_every_likelihood(likelihood: str) -> None:
    model = make(likelihood=likelihood, latent_shape=LATENT)
    if likelihood in OUTPUTS:
        model.decoder.register_forward_hook(lambda _, __, outputs: OUTPUTS[likelihood](outputs))
    generator = torch.Generator().manual_seed(0)
    drawn = model.sample(5, mean=False, generator=generator)
    again = model.sample(5, mean=False, generator=generator.manual_seed(0))
    assert torch.equal(drawn, again)
    assert len(drawn) == 5
    assert drawn.isfinite().all()
    if likelihood == "bernoulli":
        assert set(drawn.unique().tolist()) <= {0.0, 1.0}


def test_chunks_of_no_samples() -> None:
    with pytest.raises(ValueError, match=r"^chunk_size: expected at least 1, got 0"):
        make().log_marginal_likelihood(X, 5, chunk_size=0)


# --- posteriors, and what is printed --------------------------------------------------------------

MU, S = torch.randn(4, 3, dtype=torch.float64), torch.rand(4, 3, dtype=torch.float64) + 0.2
W = torch.randn(4, 3, 2, dtype=torch.float64)
TRIL = torch.tril(torch.randn(4, 3, 3, dtype=torch.float64)) + 3.0 * torch.eye(3)
POSTERIORS: dict[str, tuple[posteriors.Posterior, Tensor]] = {
    "logvar": (posteriors.DiagonalGaussian(MU, S), (0.5 * S).exp()),
    "std": (posteriors.DiagonalGaussian(MU, S, scale="std"), S),
    "clamped": (
        posteriors.DiagonalGaussian(MU, S, logvar_clamp=(-2.0, -1.0)),
        torch.full_like(S, -0.5).exp(),
    ),
    "full": (
        posteriors.FullGaussian(MU, TRIL), (TRIL @ TRIL.mT).diagonal(dim1=1, dim2=2).sqrt()
    ),
    "low rank": (
        posteriors.LowRankGaussian(MU, W, S), (S.exp() + W.square().sum(-1)).sqrt()
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", POSTERIORS)
def test_moments_of_posteriors(kind: str) -> None:
    posterior, stddev = POSTERIORS[kind]
    assert posterior.mean is posterior.mode is MU
    torch.testing.assert_close(posterior.stddev, stddev)
    assert f"{type(posterior).__name__}(" in repr(posterior)
    assert "mu=(4, 3)" in repr(posterior)


def test_moments_that_are_not_known() -> None:
    flow = posteriors.Transformed(POSTERIORS["std"][0], [posteriors.Planar(3).double()])
    for name in ("mean", "mode", "stddev"):
        with pytest.raises(NotImplementedError, match=f"^Transformed has no {name}"):
            getattr(flow, name)
    assert flow.sample(seed=1).shape == (4, 3)


def test_reprs_show_parameters() -> None:
    shown = {
        vk.GaussianLikelihood(-2.0, scale="log_std"): ("logvar=-2.0", "scale='log_std'"),
        vk.GaussianLikelihood(torch.zeros(3), learned=True): ("logvar=parameter (3,)",),
        vk.StudentTLikelihood(3.0): ("df=3.0",),
        vk.MultinomialLikelihood(7): ("total=7", "coefficient=True"),
        vk.OptimalGaussianLikelihood(): ("momentum=0.1", "variance=buffer ()"),
        priors.StandardNormal(4): ("latent_shape=(4,)",),
        priors.LearnedGaussian((4, 2)): ("mu=parameter (4, 2)",),
        make(beta=4.0, latent_shape=3): ("beta=4.0", "latent_shape=(3,)"),
        make(beta=objectives.KLWarmup(5)): ("ramp_steps=5",),
    }
    for module, parts in shown.items():
        for part in parts:
            assert part in repr(module), repr(module)
