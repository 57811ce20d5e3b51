"""Means and samples of every likelihood, in every dtype, at the ends of its parameters: samples are
in the support, their average is the mean, and what they are computed from is float32 at least."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor

import vaekern as vk

INF = math.inf
N = 4000
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def filled(number: float, dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.full(shape or (N,), number, dtype=torch.float64).to(dtype)


def assert_counts(sample: Tensor) -> None:
    assert sample.isfinite().all()
    assert (sample >= 0).all()
    assert torch.equal(sample, sample.round())


def assert_near(sample: Tensor, mean: float, std: float) -> None:
    """The average, within five standard errors and what the dtype rounds."""
    rounding = torch.finfo(sample.dtype).eps * mean
    error = abs(sample.double().mean().item() - mean)
    assert error <= 5.0 * std / math.sqrt(sample.numel()) + rounding, (error, mean, std)


# --- counts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("log_rate", [-INF, -200.0, -3.0, 0.0, 5.0, 11.0])
def test_poisson_counts(log_rate: float, dtype: torch.dtype) -> None:
    sample = vk.PoissonLikelihood().sample(filled(log_rate, dtype))
    assert sample.dtype is dtype
    assert_counts(sample)
    assert_near(sample, math.exp(log_rate), math.exp(0.5 * log_rate))


@pytest.mark.parametrize("log_rate", [15.0, 17.0, 20.0, 43.0, 45.0, 60.0])
def test_counts_of_high_rates_vary_as_they_should(log_rate: float) -> None:
    sample = vk.PoissonLikelihood().sample(filled(log_rate, torch.float64))
    assert_counts(sample)
    rate = math.exp(log_rate)
    scaled = (sample - rate) / math.sqrt(rate)
    assert abs(scaled.mean()) < 0.1
    assert abs(scaled.std() - 1.0) < 0.1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("log_rate", [12.0, 100.0, 1e4, INF])
def test_counts_beyond_a_dtype_are_its_largest(log_rate: float, dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    for likelihood, output in (
        (vk.PoissonLikelihood(), filled(log_rate, dtype, 8)),
        (vk.NegativeBinomialLikelihood(30.0), filled(log_rate, dtype, 8)),
        (
            vk.ZeroInflatedNegativeBinomialLikelihood(30.0),
            (filled(log_rate, dtype, 8), filled(-INF, dtype, 8)),
        ),
    ):
        sample = likelihood.sample(output)
        assert_counts(sample)
        if math.exp(min(log_rate, 709.0)) > largest or log_rate > 709.0:
            assert (sample == largest).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("log_dispersion", [0.0, 1.0, 3.0, 20.0, 90.0, 1e4, INF])
def test_negative_binomial_counts(log_dispersion: float, dtype: torch.dtype) -> None:
    mean = math.exp(3.0)
    std = math.sqrt(mean + mean * mean * math.exp(-log_dispersion))
    log_mean, zero_logits = filled(3.0, dtype), filled(-1.0, dtype)
    sample = vk.NegativeBinomialLikelihood(log_dispersion).sample(log_mean)
    assert sample.dtype is dtype
    assert_counts(sample)
    assert_near(sample, mean, std)
    assert abs(sample.double().std() / std - 1.0) < 0.15
    share = 1.0 / (1.0 + math.exp(-1.0))
    inflated = vk.ZeroInflatedNegativeBinomialLikelihood(log_dispersion)
    sample = inflated.sample((log_mean, zero_logits))
    assert sample.dtype is dtype
    assert_counts(sample)
    assert_near(sample, share * mean, std + mean)
    mean_of_module = inflated.mean((log_mean, zero_logits))
    assert mean_of_module.dtype is dtype
    assert mean_of_module[0].item() == pytest.approx(
        share * mean, rel=torch.finfo(dtype).eps + 1e-6
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("log_dispersion", [-30.0, -100.0, -1e4, -INF])
def test_counts_of_tiny_dispersions_are_0(log_dispersion: float, dtype: torch.dtype) -> None:
    log_mean = filled(3.0, dtype)
    likelihood = vk.NegativeBinomialLikelihood()
    sample = likelihood.sample((log_mean, filled(log_dispersion, torch.float64)))
    assert (sample == 0).all()


def test_the_share_of_zeros_of_a_small_dispersion() -> None:
    """p(0) = (theta / (theta + mu))^theta"""
    theta, mu = math.exp(-3.0), math.exp(3.0)
    sample = vk.NegativeBinomialLikelihood(-3.0).sample(filled(3.0, torch.float32, 40_000))
    share = (theta / (theta + mu)) ** theta
    assert abs((sample == 0).double().mean().item() - share) < 5.0 * 0.5 / 200.0


def test_the_mean_of_inflated_counts_does_not_overflow_on_the_way() -> None:
    output = torch.tensor([100.0]), torch.tensor([50.0])
    mean = vk.ZeroInflatedNegativeBinomialLikelihood().mean(output)
    assert mean.item() == pytest.approx(math.exp(50.0), rel=1e-5)


def test_shared_parameters_of_inflated_counts_are_drawn_for_each_datapoint() -> None:
    output = torch.full((N, 2), 5.0), torch.zeros(2)
    zeros = vk.ZeroInflatedNegativeBinomialLikelihood(20.0).sample(output) == 0
    assert torch.allclose(zeros.float().mean(0), torch.full((2,), 0.5), atol=0.05)


# --- classes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_bernoulli(dtype: torch.dtype) -> None:
    for logit, mean in ((-INF, 0.0), (-1e4, 0.0), (7.0, 1.0 / (1.0 + math.exp(-7.0))), (INF, 1.0)):
        sample = vk.BernoulliLikelihood().sample(filled(logit, dtype, 40_000))
        assert sample.dtype is dtype
        assert ((sample == 0) | (sample == 1)).all()
        # The average of bfloat16 p = 1, to which 0.9991 is rounded, would be 1.
        assert abs(sample.double().mean().item() - mean) <= 5.0 * math.sqrt(
            mean * (1.0 - mean) / 40_000
        )
        if logit == 7.0:
            assert (sample == 0).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_multinomial_counts_add_up(dtype: torch.dtype) -> None:
    """1000 draws of one class: in bfloat16, 256 + 1 is 256."""
    logits = torch.tensor([[0.0, -INF, -INF], [1e4, 0.0, 0.0]], dtype=torch.float64).to(dtype)
    likelihood = vk.MultinomialLikelihood(1000)
    sample = likelihood.sample(logits)
    assert sample.dtype is dtype
    assert sample.tolist() == [[1000.0, 0.0, 0.0], [1000.0, 0.0, 0.0]]
    assert likelihood.mean(logits).tolist() == [[1000.0, 0.0, 0.0], [1000.0, 0.0, 0.0]]
    assert vk.CategoricalLikelihood().sample(logits).tolist() == [0, 0]


def test_classes_of_float64_logits_are_not_narrowed() -> None:
    """All three are 1e9 in float32."""
    logits = torch.tensor([[1e9 - 30.0, 1e9, 1e9 - 30.0]], dtype=torch.float64).expand(100, 3)
    assert (vk.CategoricalLikelihood().sample(logits) == 1).all()


# --- locations and scales -------------------------------------------------------------------------


LOCATED: dict[str, Callable[[float], vk.likelihoods.Likelihood]] = {
    "gaussian": lambda s: vk.GaussianLikelihood(s, scale="log_std"),
    "laplace": vk.LaplaceLikelihood,
}
STD = {"gaussian": 1.0, "laplace": math.sqrt(2.0)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", list(LOCATED))
def test_deviations_of_half_precision_are_not_rounded(name: str, dtype: torch.dtype) -> None:
    """In bfloat16 e^-10.03 would be e^-10."""
    log_scale = -10.03
    sample = LOCATED[name](log_scale).sample(filled(0.0, dtype, 40_000))
    assert sample.dtype is dtype
    measured = sample.double().std().item() / (STD[name] * math.exp(log_scale))
    assert abs(measured - 1.0) < 0.02


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", list(LOCATED))
def test_samples_of_extreme_scales_are_finite(name: str, dtype: torch.dtype) -> None:
    for log_scale in (-INF, -1e4, 20.0, 80.0):
        sample = LOCATED[name](log_scale).sample(filled(2.0, dtype))
        assert sample.isfinite().all()
        if log_scale < 0:
            assert (sample == 2.0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_samples_of_the_optimal_variance(dtype: torch.dtype) -> None:
    likelihood = vk.OptimalGaussianLikelihood().eval()
    likelihood.variance.fill_(math.exp(-20.06))
    sample = likelihood.sample(filled(0.0, dtype, 40_000))
    assert sample.dtype is dtype
    assert abs(sample.double().std().item() * math.exp(10.03) - 1.0) < 0.02


@cache
def exact_mean_within(loc: float, log_scale: float) -> float:
    """By integration: -1 plus the integral of P(x > t) over [-1, 1]."""
    nodes = torch.linspace(-1.0, 1.0, 2_000_001, dtype=torch.float64)
    return torch.trapezoid(torch.sigmoid((loc - nodes) * math.exp(-log_scale)), nodes).item() - 1.0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loc", [0.25, -0.875, 3.0])
@pytest.mark.parametrize("log_scale", [-9.0, -1.0, -0.01, 0.01, 3.0, 18.0])
def test_means_of_levels(loc: float, log_scale: float, dtype: torch.dtype) -> None:
    mean = vk.DiscretizedLogisticLikelihood(log_scale).mean(filled(loc, dtype, 1))
    assert mean.dtype is dtype
    want = exact_mean_within(loc, log_scale)
    assert abs(mean.item() - want) <= 3e-7 + torch.finfo(dtype).eps * abs(want)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("log_scale", [-INF, -1e4, -90.0, 0.0, 90.0, 1e4, INF])
@pytest.mark.parametrize("loc", [-INF, -3e4, -1.0, 0.0, 1.0, 3e4, INF])
def test_levels_at_the_ends(loc: float, log_scale: float, dtype: torch.dtype) -> None:
    likelihood, output = vk.DiscretizedLogisticLikelihood(log_scale), filled(loc, dtype)
    mean, sample = likelihood.mean(output), likelihood.sample(output)
    for found in (mean, sample):
        assert found.dtype is dtype
        assert (found.abs() <= 1.0).all()
    levels = 127.5 * (sample.double() + 1.0)
    assert (levels - levels.round()).abs().max() <= 128.0 * torch.finfo(dtype).eps
    if log_scale <= 0.0 or math.isinf(loc):
        if abs(loc) > 2.0:
            assert (sample == math.copysign(1.0, loc)).all()
            assert (mean.double() - math.copysign(1.0, loc)).abs().max() < 1e-15
        elif log_scale < 0.0:
            assert mean.double().sub(loc).abs().max() < 0.01
    elif loc == 0.0:
        assert abs(mean.double()).max() < 1e-6
        assert abs(sample.double().mean()) < 0.1


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_of_means_of_levels_are_finite(dtype: torch.dtype) -> None:
    loc = torch.tensor([-3e4, -1.0, 0.5, 1.0, 3e4], dtype=dtype, requires_grad=True)
    for log_scale in (-50.0, -1.0, 1.0, 50.0):
        mean = vk.DiscretizedLogisticLikelihood(log_scale).mean(loc)
        (gradient,) = torch.autograd.grad(mean.float().sum(), loc)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("log_scale", [-60.0, 0.0, 60.0, 100.0])
def test_mixtures_at_the_ends(log_scale: float) -> None:
    params = torch.zeros(3, 10, 2, 4, 4)
    params[:, [2, 5, 8]] = log_scale
    params = params.flatten(1, 2)
    likelihood = vk.LogisticMixtureLikelihood()
    for found in (likelihood.mean(params), likelihood.sample(params)):
        assert (found.abs() <= 1.0).all()


@pytest.mark.parametrize("scale", [0.03, 0.99, 1.01, 50.0])
def test_gradients_of_means_of_levels(scale: float) -> None:
    """P(x > -1) - P(x > 1), of the location; by finite differences, of the scale."""
    loc = torch.tensor([-1.2, -1.0, 0.3, 1.0, 4.0], dtype=torch.float64, requires_grad=True)
    log_scale = torch.full_like(loc, math.log(scale)).requires_grad_()
    likelihood = vk.DiscretizedLogisticLikelihood()
    (gradient,) = torch.autograd.grad(likelihood.mean((loc, log_scale)).sum(), loc)
    want = torch.sigmoid((loc + 1.0) / scale) - torch.sigmoid((loc - 1.0) / scale)
    torch.testing.assert_close(gradient, want.detach())
    inner = torch.tensor([-0.7, 0.3], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda s: likelihood.mean((inner, s)), log_scale[:2])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("log_scale", [0.0, 200.0, INF])
@pytest.mark.parametrize(
    "likelihood",
    [
        vk.GaussianLikelihood(scale="log_std"),
        vk.LaplaceLikelihood(),
        vk.AsymmetricLaplaceLikelihood(quantile=0.2),
        vk.StudentTLikelihood(),
    ],
    ids=lambda likelihood: likelihood.name,
)
def test_an_infinite_location_stays_one(
    likelihood: vk.Likelihood, log_scale: float, dtype: torch.dtype
) -> None:
    """However far the deviation reaches: no NaN. Stored is the largest number."""
    loc = torch.tensor([-INF, INF], dtype=dtype).repeat(50)
    emitted = loc, torch.full_like(loc, log_scale)
    assert torch.equal(likelihood.sample(emitted), loc.sign() * torch.finfo(dtype).max)
    assert torch.equal(likelihood.mean(emitted), loc)
