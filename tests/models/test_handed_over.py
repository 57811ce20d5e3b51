"""What modules are handed is trained, copied or refused with the argument's name: never cast,
shared or left behind unasked."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vaekern as vk
from vaekern import posteriors, priors

PIXELS, LATENT = 6, 3

#: The likelihoods that hold a tensor: its name, and how to make one of it.
HOLDERS: dict[str, tuple[str, Callable[..., vk.Likelihood]]] = {
    "gaussian": ("logvar", vk.GaussianLikelihood),
    "laplace": ("log_scale", vk.LaplaceLikelihood),
    "student": ("log_scale", functools.partial(vk.StudentTLikelihood, 3.0)),
    "df": ("df", vk.StudentTLikelihood),
    "logistic": ("log_scale", vk.DiscretizedLogisticLikelihood),
    "negative binomial": ("log_dispersion", vk.NegativeBinomialLikelihood),
    "zero-inflated": ("log_dispersion", vk.ZeroInflatedNegativeBinomialLikelihood),
}
holders = pytest.mark.parametrize("holder", HOLDERS)


X = torch.rand(5, PIXELS, generator=torch.Generator().manual_seed(0))


class Encoder(nn.Linear):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = super().forward(x).chunk(2, dim=-1)
        return mu, logvar


def networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return Encoder(PIXELS, 2 * LATENT), nn.Linear(LATENT, PIXELS)


# --- likelihoods ----------------------------------------------------------------------------------


@holders
def test_a_parameter_is_trained_itself(holder: str) -> None:
    name, make = HOLDERS[holder]
    parameter = nn.Parameter(torch.ones(()))
    likelihood = make(parameter)
    assert list(likelihood.named_parameters()) == [(name, parameter)]
    model = vk.VAE(*networks(), likelihood=likelihood)
    if holder == "zero-inflated":
        model.decoder = TwoHeads()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(4, PIXELS), seed=1).loss.backward()
    optimizer.step()
    assert parameter.item() != 1.0


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList([nn.Linear(LATENT, PIXELS) for _ in range(2)])

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        return tuple(head(z) for head in self.heads)


@holders
def test_a_tensor_is_copied_in_its_dtype(holder: str) -> None:
    name, make = HOLDERS[holder]
    given = torch.ones(PIXELS, dtype=torch.float64)
    likelihood = make(given)
    assert dict(likelihood.named_buffers())[name].dtype is torch.float64
    likelihood.load_state_dict({name: torch.zeros(PIXELS)})
    assert torch.equal(given, torch.ones_like(given))


@pytest.mark.parametrize("holder", [holder for holder in HOLDERS if holder != "df"])
def test_a_learned_tensor_is_a_copy_in_its_dtype(holder: str) -> None:
    _, make = HOLDERS[holder]
    given = torch.ones(PIXELS, dtype=torch.float64)
    (parameter,) = make(given, learned=True).parameters()
    assert parameter.dtype is torch.float64
    with torch.no_grad():
        parameter.zero_()
    assert torch.equal(given, torch.ones_like(given))
    own = nn.Parameter(torch.ones(()))
    assert next(make(own, learned=True).parameters()) is own


@holders
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (torch.zeros((), requires_grad=True), ValueError),
        (2.0 * torch.zeros((), requires_grad=True), ValueError),
        (torch.tensor(0), TypeError),
        ([0.0], TypeError),
        (True, TypeError),
        (None, TypeError),
    ],
    ids=["leaf", "made of one", "integer", "list", "bool", "none"],
)
def test_what_would_not_be_trained_is_refused(
    holder: str, value: Any, error: type[Exception]
) -> None:
    name, make = HOLDERS[holder]
    with pytest.raises(error, match=f"^{name}: expected"):
        make(value)


def test_a_name_is_a_likelihood_of_the_model_s_own() -> None:
    first, second = (vk.VAE(*networks(), likelihood="gaussian") for _ in range(2))
    first.likelihood.logvar = -4.0
    first.eval()
    assert second.likelihood.logvar == 0.0
    assert second.likelihood.training
    mean = torch.zeros(2, PIXELS)
    loss = vk.elbo_loss(mean, mean, mean, mean, likelihood="gaussian")
    assert torch.equal(loss, -vk.gaussian_log_likelihood(mean, mean).mean())


# --- priors and posteriors ------------------------------------------------------------------------


def test_pseudo_inputs() -> None:
    own, data = nn.Parameter(torch.rand(4, PIXELS)), torch.rand(4, PIXELS)
    encoder, _ = networks()
    assert priors.VampPrior(encoder, own).pseudo_inputs is own
    copied = priors.VampPrior(encoder, data).pseudo_inputs
    assert copied.data_ptr() != data.data_ptr()
    for wrong in (data.byte(), data.clone().requires_grad_(), data.tolist()):
        with pytest.raises((TypeError, ValueError), match=r"^pseudo_inputs: expected"):
            priors.VampPrior(encoder, wrong)


@pytest.mark.parametrize(
    "options",
    [
        {"scale": "std"},
        {"logvar_clamp": (-4.0, 4.0)},
        {"posterior": posteriors.DiagonalGaussian.softplus},
    ],
    ids=str,
)
def test_a_prior_of_posteriors_reads_the_encoder_as_the_model_does(options: Any) -> None:
    encoder, decoder = networks()
    inputs = torch.rand(3, PIXELS)
    with pytest.raises(ValueError, match=r"^prior: expected VampPrior\(..., posterior=...\)"):
        vk.VAE(encoder, decoder, prior=priors.VampPrior(encoder, inputs), **options)
    family = options.get("posterior", functools.partial(posteriors.DiagonalGaussian, **options))
    prior = priors.VampPrior(encoder, inputs, family)
    model = vk.VAE(encoder, decoder, prior=prior, **options)
    components = prior.components()
    torch.testing.assert_close(components.stddev, model.infer(prior.pseudo_inputs).stddev)


def test_numbers_of_priors() -> None:
    prior = priors.LearnedGaussian(4, mu=0, logvar=-1)
    assert torch.equal(prior.logvar, torch.full((4,), -1.0))
    for name in ("mu", "logvar"):
        with pytest.raises(TypeError, match=f"^{name}: expected a number, got Parameter"):
            priors.LearnedGaussian(4, **{name: nn.Parameter(torch.zeros(()))})
    with pytest.raises(TypeError, match=r"^spread: expected a number"):
        priors.MixtureOfGaussians(3, 4, spread=torch.ones(()))


flows = posteriors.Planar(LATENT)


def of_a_global(mu: Tensor, logvar: Tensor) -> posteriors.Posterior:
    return posteriors.Transformed(posteriors.DiagonalGaussian(mu, logvar), [flows])


class Family:
    def __init__(self, *steps: nn.Module) -> None:
        self.steps = steps

    def make(self, mu: Tensor, logvar: Tensor) -> posteriors.Posterior:
        return posteriors.Transformed(posteriors.DiagonalGaussian(mu, logvar), self.steps)


class FamilyModule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList([posteriors.Planar(LATENT)])

    def forward(self, mu: Tensor, logvar: Tensor) -> posteriors.Posterior:
        return posteriors.Transformed(posteriors.DiagonalGaussian(mu, logvar), self.steps)


def closure() -> Callable[..., posteriors.Posterior]:
    local = [posteriors.Planar(LATENT)]
    return lambda mu, logvar: posteriors.Transformed(posteriors.DiagonalGaussian(mu, logvar), local)


def of_an_argument(mu: Tensor, logvar: Tensor, steps: Any) -> posteriors.Posterior:
    return posteriors.Transformed(posteriors.DiagonalGaussian(mu, logvar), steps)


@pytest.mark.parametrize(
    "family",
    [
        of_a_global,
        closure(),
        functools.partial(of_an_argument, steps=[posteriors.Planar(LATENT)]),
        FamilyModule().forward,
        Family(posteriors.Planar(LATENT)).make,
    ],
    ids=["global", "closure", "partial", "method of a module", "method"],
)
def test_flows_that_would_not_be_trained_are_refused(family: Any) -> None:
    with pytest.raises(ValueError, match=r"^posterior: expected a module that holds the"):
        vk.VAE(*networks(), posterior=family)


def test_flows_of_a_module_are_trained() -> None:
    model = vk.VAE(*networks(), posterior=FamilyModule())
    model(X).loss.backward()
    assert all(p.grad is not None for p in model.posterior.parameters())


@pytest.mark.parametrize("name", ["encoder", "decoder", "prior"])
@pytest.mark.parametrize("wrong", [lambda x: x, nn.Linear], ids=["function", "class"])
def test_networks_that_would_not_be_trained_are_refused(name: str, wrong: Any) -> None:
    encoder, decoder = networks()
    arguments: dict[str, Any] = {"encoder": encoder, "decoder": decoder, name: wrong}
    with pytest.raises(TypeError, match=f"^{name}: expected a"):
        vk.VAE(**arguments)
    with pytest.raises(TypeError, match=r"^network: expected a"):
        priors.ConditionalGaussian(wrong)


# --- what a model saves ---------------------------------------------------------------------------


def test_a_loaded_model_samples() -> None:
    model = vk.VAE(*networks())
    with pytest.raises(RuntimeError, match=r"^sample: "):
        model.sample(2)
    model(X)
    stored = io.BytesIO()
    torch.save(model.state_dict(), stored)
    stored.seek(0)
    fresh = vk.VAE(*networks())
    fresh.load_state_dict(torch.load(stored, weights_only=True))
    torch.manual_seed(0)
    want = model.sample(4)
    torch.manual_seed(0)
    assert torch.equal(fresh.sample(4), want)


def test_states_without_a_latent_shape_are_loaded() -> None:
    model, fresh = vk.VAE(*networks()), vk.VAE(*networks(), latent_shape=LATENT)
    state = {k: v for k, v in model.state_dict().items() if "extra" not in k}
    fresh.load_state_dict(state)
    assert fresh.latent_shape == (LATENT,)
    fresh.load_state_dict(model.state_dict())  # of a model that has seen nothing
    assert fresh.latent_shape == (LATENT,)
    outer = nn.ModuleDict({"vae": fresh})
    outer.load_state_dict({f"vae.{k}": v for k, v in state.items()})


def test_a_caller_s_memory_is_never_written_to() -> None:
    given = torch.zeros(PIXELS)
    model = vk.VAE(*networks(), likelihood=vk.GaussianLikelihood(given, learned=True))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model(X).loss.backward()
    optimizer.step()
    assert torch.equal(given, torch.zeros(PIXELS))


def test_state_for_checkpoints_of_torch_distributed() -> None:
    """Which go through modules by the names in a state."""
    from torch.distributed.checkpoint import state_dict as states

    model, fresh = vk.VAE(*networks()), vk.VAE(*networks())
    model(X)
    state = states.get_model_state_dict(model)
    states.set_model_state_dict(fresh, state)
    assert fresh.latent_shape == (LATENT,)
