"""What a mask leaves out and datapoints of weight 0 do not matter, NaN and infinities included:
neither to the value, nor to a gradient, nor to what a likelihood learns of the batch."""

from __future__ import annotations

import math
from typing import Any

import backends
import pytest
import torch
from torch import Tensor, nn

import vaekern as vk

B = 4
PRESENT = torch.tensor([True, False, True, False])
WEIGHTS = torch.tensor([1.0, 0.0, 2.5, 0.0])
JUNK = torch.tensor([math.nan, math.inf, -math.inf])


class Squares(nn.Module):
    """A likelihood of one's own."""

    def log_prob(self, output: Tensor, x: Tensor, *, batch_dims: int = 1) -> Tensor:
        return -(x - output).square().flatten(batch_dims).sum(-1)


def positive(*shape: int) -> Tensor:
    return torch.randint(0, 5, shape).float()


#: likelihood, shapes of what the decoder emits, targets
LIKELIHOODS: dict[str, tuple[Any, list[tuple[int, ...]], Any]] = {
    "bernoulli": ("bernoulli", [(B, 6)], torch.rand),
    "gaussian": ("gaussian", [(B, 6), (B, 6)], torch.randn),
    "laplace": ("laplace", [(B, 6)], torch.randn),
    "optimal gaussian": (vk.OptimalGaussianLikelihood(momentum=1.0), [(B, 6)], torch.randn),
    "discretized logistic": (vk.DiscretizedLogisticLikelihood(), [(B, 6), (B, 6)], torch.rand),
    "logistic mixture": (
        vk.LogisticMixtureLikelihood(),
        [(B, 20, 2)],
        lambda *_: 2 * torch.rand(B, 3, 2) - 1,
    ),
    "poisson": ("poisson", [(B, 6)], positive),
    "negative binomial": ("negative_binomial", [(B, 6), (B, 6)], positive),
    "zero-inflated": (
        vk.ZeroInflatedNegativeBinomialLikelihood(),
        [(B, 6), (B, 6)],
        positive,
    ),
    "multinomial": ("multinomial", [(B, 6)], positive),
    "multinomial without coefficient": (
        vk.MultinomialLikelihood(coefficient=False),
        [(B, 6)],
        positive,
    ),
    "categorical": ("categorical", [(B, 6)], lambda *_: torch.randint(0, 6, (B,))),
    "own": (Squares(), [(B, 6)], torch.randn),
}


def spoiled(tensor: Tensor) -> Tensor:
    """With junk, or an index that is no class, in the datapoints that are absent."""
    tensor = tensor.clone()
    absent = ~PRESENT
    if tensor.is_floating_point():
        junk = JUNK[torch.arange(tensor[absent].numel()) % 3]
        tensor[absent] = junk.reshape(tensor[absent].shape)
    else:
        tensor[absent] = -100
    return tensor


@pytest.mark.table
@pytest.mark.parametrize(
    "options", [{}, {"reduction": "sum"}, {"free_bits": 0.5}, {"capacity": 2.0}], ids=str
)
@pytest.mark.parametrize("name", list(LIKELIHOODS))
def test_datapoints_of_weight_zero(name: str, options: dict[str, Any], implementation: str) -> None:
    torch.manual_seed(0)
    likelihood, shapes, draw = LIKELIHOODS[name]
    outputs, x = [torch.randn(shape) for shape in shapes], draw(B, 6)
    mu, logvar = torch.randn(B, 3), torch.randn(B, 3)

    def loss(tensors: list[Tensor], x: Tensor, **given: Any) -> tuple[Tensor, list[Tensor]]:
        leaves = [backends.put(t).detach().requires_grad_() for t in tensors]
        *output, mu, logvar = leaves
        emitted = output[0] if len(output) == 1 else tuple(output)
        module = likelihood.to(backends.device) if isinstance(likelihood, nn.Module) else likelihood
        given = {k: backends.put(v) if isinstance(v, Tensor) else v for k, v in given.items()}
        value = vk.elbo_loss(emitted, backends.put(x), mu, logvar, module, **given, **options)
        return value.detach(), list(torch.autograd.grad(value, leaves))

    tensors = [*outputs, mu, logvar]
    want, gradients = loss([t[PRESENT] for t in tensors], x[PRESENT], weights=WEIGHTS[PRESENT])
    got, found = loss([spoiled(t) for t in tensors], spoiled(x), weights=WEIGHTS)
    torch.testing.assert_close(got, want)
    for gradient, wanted in zip(found, gradients, strict=True):
        torch.testing.assert_close(gradient[PRESENT], wanted)
        assert (gradient[~PRESENT] == 0).all()


def test_datapoints_of_weight_zero_with_a_mask() -> None:
    logits, x, mu = torch.randn(B, 6), torch.rand(B, 6), torch.randn(B, 3)
    mask = torch.rand(B, 6) > 0.3
    want = vk.elbo_loss(
        logits[PRESENT], x[PRESENT], mu[PRESENT], mu[PRESENT],
        mask=mask[PRESENT], weights=WEIGHTS[PRESENT],
    )  # fmt: skip
    x[~mask] = math.nan
    arguments = spoiled(logits), spoiled(x), spoiled(mu), spoiled(mu)
    got = vk.elbo_loss(*arguments, mask=mask, weights=WEIGHTS)
    torch.testing.assert_close(got, want)


def test_no_loss_of_a_datapoint_of_weight_zero_is_reported() -> None:
    logits, x, mu = torch.randn(B, 6), spoiled(torch.rand(B, 6)), torch.randn(B, 3)
    losses = vk.elbo_loss(logits, x, mu, mu, weights=WEIGHTS, reduction="none")
    assert (losses[~PRESENT] == 0).all()
    assert losses.isfinite().all()


def test_a_weight_of_zero_that_is_learned_gets_its_gradient() -> None:
    logits, x, mu = torch.randn(B, 6), torch.rand(B, 6), torch.randn(B, 3)
    weights = WEIGHTS.clone().requires_grad_()
    losses = vk.elbo_loss(logits, x, mu, mu, reduction="none")
    loss = vk.elbo_loss(logits, x, mu, mu, weights=weights, reduction="sum")
    torch.testing.assert_close(torch.autograd.grad(loss, weights)[0], losses)
    pushed = torch.func.jvp(
        lambda w: vk.elbo_loss(logits, x, mu, mu, weights=w, reduction="sum"),
        (WEIGHTS,),
        (torch.ones(B),),
    )[1]
    torch.testing.assert_close(pushed, losses.sum())


def test_free_bits_weighted_by_zero() -> None:
    mu = torch.randn(B, 3)
    kl = vk.objectives.free_bits_kl(spoiled(mu), mu, free_bits=0.1, weights=WEIGHTS)
    want = vk.objectives.free_bits_kl(
        mu[PRESENT], mu[PRESENT], free_bits=0.1, weights=WEIGHTS[PRESENT]
    )
    torch.testing.assert_close(kl[PRESENT], want)


# --- the variance of the batch --------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 4), (3, 1), (1, 4)])
def test_masked_elements_have_no_part_in_the_optimal_variance(
    shape: tuple[int, ...], implementation: str
) -> None:
    torch.manual_seed(1)
    x, mean, zeros = torch.randn(3, 4), torch.randn(3, 4), torch.zeros(3, 2)
    mask = torch.rand(shape) > 0.4
    full = mask.expand(3, 4)
    mse = (x - mean)[full].square().mean().item()
    x[~full] = math.nan
    likelihood = vk.OptimalGaussianLikelihood().to(backends.device)
    mean = backends.put(mean).requires_grad_()
    x, zeros, mask = (backends.put(t) for t in (x, zeros, mask))
    loss = vk.elbo_loss(mean, x, zeros, zeros, likelihood, mask=mask, reduction="sum")
    n = int(full.sum())
    assert loss.item() == pytest.approx(0.5 * n * (math.log(2.0 * math.pi * mse) + 1.0), rel=1e-5)
    assert likelihood.variance.item() == pytest.approx(mse, rel=1e-5)
    (gradient,) = torch.autograd.grad(loss, mean)
    assert gradient.isfinite().all()
    fresh = vk.OptimalGaussianLikelihood().to(backends.device)
    per_datapoint = fresh.masked_log_prob(mean, x, mask)
    assert per_datapoint.sum().item() == pytest.approx(-loss.item(), rel=1e-5)
    assert fresh.variance.item() == pytest.approx(mse, rel=1e-5)


def test_a_batch_of_which_nothing_was_observed_leaves_the_variance_alone() -> None:
    likelihood = vk.OptimalGaussianLikelihood()
    x, zeros = torch.full((3, 4), math.nan), torch.zeros(3, 2)
    mean = torch.zeros(3, 4, requires_grad=True)
    nothing = torch.zeros(3, 4, dtype=torch.bool)
    for options in ({"mask": nothing}, {"weights": torch.zeros(3)}):
        loss = vk.elbo_loss(mean, x, zeros, zeros, likelihood, reduction="sum", **options)
        assert loss.item() == 0.0
        assert likelihood.variance.item() == 1.0
        assert likelihood.num_batches_tracked.item() == 0
    loss = vk.elbo_loss(mean, torch.full((3, 4), 2.0), zeros, zeros, likelihood)
    assert likelihood.variance.item() == pytest.approx(4.0)  # the first batch, all of the average
