"""Options of the loss: free bits, capacity, mask and weights. The oracle is torch's own."""

from __future__ import annotations

import math
from typing import Any

import backends
import pytest
import torch
from loss_problem import B, Problem, normal
from torch import Tensor
from torch.distributions import Normal, kl_divergence

import vaekern as vk
from vaekern import objectives

# --- free bits and capacity -----------------------------------------------------------------------

FLOORS = {"dimension": 0.4, "group": 0.8, "sample": 4.0, "batch": 7.0}


def floored(kl: Tensor, floor: float, over: str) -> Tensor:
    """The mean over the batch."""
    if over == "dimension":
        return kl.mean(0).clamp(min=floor).sum()
    if over == "group":
        return kl.sum(2).mean(0).clamp(min=floor).sum()
    if over == "sample":
        return kl.sum((1, 2)).clamp(min=floor).mean()
    return kl.sum((1, 2)).mean().clamp(min=floor)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("over", list(FLOORS))
def test_free_bits(over: str, reduction: str) -> None:
    problem, floor = Problem(), FLOORS[over]
    expected = problem.cross_entropy().sum() / B + 0.5 * floored(problem.kl(), floor, over)
    loss = problem.loss(free_bits=floor, free_bits_over=over, beta=0.5, reduction=reduction)
    problem.compare(loss, expected * (B if reduction == "sum" else 1))


@pytest.mark.parametrize("over", list(FLOORS))
def test_free_bits_have_no_gradient_below_the_floor(over: str) -> None:
    problem = Problem()
    options = {"free_bits": 1e3, "over": over}
    kl = objectives.free_bits_kl(problem.mu, problem.logvar, **options)
    parts = {"dimension": 8, "group": 4}.get(over, 1)
    torch.testing.assert_close(kl, torch.full((B,), 1e3 * parts, dtype=torch.float64))
    for gradient in torch.autograd.grad(kl.sum(), (problem.mu, problem.logvar)):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_free_bits_clip_some_parts_only() -> None:
    """Otherwise the comparisons above say little."""
    kl = Problem().kl()
    for parts, floor in (
        (kl.mean(0), FLOORS["dimension"]),
        (kl.sum(2).mean(0), FLOORS["group"]),
        (kl.sum((1, 2)), FLOORS["sample"]),
    ):
        assert 0 < (parts < floor).sum() < parts.numel()


@pytest.mark.parametrize("over", list(FLOORS))
def test_free_bits_of_nothing_change_nothing(over: str) -> None:
    problem = Problem()
    loss = problem.loss(free_bits=0.0, free_bits_over=over, reduction="none")
    problem.compare(loss, problem.loss(reduction="none"))
    tensor = torch.tensor(FLOORS[over])
    problem.compare(
        problem.loss(free_bits=tensor, free_bits_over=over),
        problem.loss(free_bits=tensor.item(), free_bits_over=over),
    )


def test_free_bits_with_a_prior_and_two_batch_dimensions() -> None:
    mu, logvar = normal(2, 3, 4), normal(2, 3, 4, seed=1)
    prior = normal(4, seed=2), normal(4, seed=3)
    found = objectives.free_bits_kl(mu, logvar, *prior, free_bits=1.5, batch_dims=2)
    assert found.shape == (2, 3)
    q = Normal(mu, torch.exp(0.5 * logvar))
    kl = kl_divergence(q, Normal(prior[0], torch.exp(0.5 * prior[1])))
    assert (kl.mean((0, 1)) < 1.5).any()
    torch.testing.assert_close(found.mean(), kl.mean((0, 1)).clamp(min=1.5).sum())


def test_free_bits_do_not_hide_nan() -> None:
    mu = torch.tensor([[math.nan, 1.0], [0.0, 0.0]])
    kl = objectives.free_bits_kl(mu, torch.zeros(2, 2), free_bits=5.0, over="sample")
    assert kl.isnan().tolist() == [True, False]


@pytest.mark.parametrize("capacity", [0.0, 4.0, torch.tensor(4.0)])
def test_capacity(capacity: float | Tensor) -> None:
    problem = Problem()
    kl = problem.kl().sum((1, 2))
    assert (kl < 4.0).any()
    assert (kl > 4.0).any()
    expected = problem.cross_entropy().sum((1, 2)) + 3.0 * (kl - capacity).abs()
    problem.compare(problem.loss(capacity=capacity, beta=3.0), expected.mean())
    problem.compare(problem.loss(capacity=capacity, beta=3.0, reduction="none"), expected)


# --- mask and weights -----------------------------------------------------------------------------

MASK = normal(B, 3, 4, seed=9) > 0.0


@pytest.mark.parametrize("mask", [MASK, MASK[:1], MASK[:, :1], MASK[:, :, :1]])
def test_mask(mask: Tensor) -> None:
    problem = Problem()
    losses = torch.where(mask, problem.cross_entropy(), 0.0).sum((1, 2)) + problem.kl().sum((1, 2))
    problem.compare(problem.loss(mask=mask), losses.mean())
    problem.compare(problem.loss(mask=mask, reduction="none"), losses)


def test_what_is_masked_does_not_matter() -> None:
    problem = Problem()
    expected = problem.loss(mask=MASK).detach()
    problem.x[~MASK] = math.nan
    loss = problem.loss(mask=MASK)
    assert torch.equal(loss.detach(), expected)
    for gradient in torch.autograd.grad(loss, problem.leaves):
        assert gradient.isfinite().all()
    assert problem.x.isnan().any()  # left alone


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool])
def test_mask_of_integer_targets(dtype: torch.dtype) -> None:
    problem = Problem()
    problem.x = (problem.x * 255).round().to(torch.uint8)
    if dtype is torch.bool:
        problem.x = problem.x > 127
    loss = problem.loss(mask=MASK)
    problem.x = problem.x.to(torch.float64) / (255.0 if dtype is torch.uint8 else 1.0)
    problem.compare(loss, problem.loss(mask=MASK))


@pytest.mark.parametrize("shape", [(), (3,), (B, 3, 4)])
def test_mask_of_a_gaussian_with_its_variance(shape: tuple[int, ...]) -> None:
    problem = Problem()
    spread = normal(*shape, seed=5)
    loss = vk.elbo_loss(
        (problem.output, spread), problem.x, problem.mu, problem.logvar, "gaussian", mask=MASK
    )
    full = spread[:, None] if shape == (3,) else spread
    log_p = Normal(problem.output, torch.exp(0.5 * full)).log_prob(problem.x)
    expected = problem.kl().sum((1, 2)) - torch.where(MASK, log_p, 0.0).sum((1, 2))
    problem.compare(loss, expected.mean())


class Squares(torch.nn.Module):
    def log_prob(self, output: Tensor, x: Tensor, *, batch_dims: int = 1) -> Tensor:
        squares = -(x - output).square()
        return squares.sum(tuple(range(batch_dims, x.dim()))) if batch_dims < x.dim() else squares


def test_mask_of_a_likelihood_module() -> None:
    problem = Problem()
    squares = torch.where(MASK, (problem.x - problem.output).square(), 0.0).sum((1, 2))
    loss = problem.loss(likelihood=Squares(), mask=MASK)
    problem.compare(loss, (squares + problem.kl().sum((1, 2))).mean())


def test_mask_of_a_mixture_is_one_of_pixels() -> None:
    params, x, mu = normal(2, 20, 5), normal(2, 3, 5).clamp(-1.0, 1.0), normal(2, 3)
    mask = torch.tensor([[True, False, True, True, False]])
    likelihood = vk.LogisticMixtureLikelihood()
    got = vk.elbo_loss(params, x, mu, mu, likelihood, mask=mask)
    want = likelihood.log_prob(params[..., mask[0]], x[..., mask[0]])
    torch.testing.assert_close(got, (vk.gaussian_kl(mu, mu) - want).mean())


def test_weights() -> None:
    problem, weights = Problem(), normal(B, seed=8).exp().requires_grad_()
    losses = problem.cross_entropy().sum((1, 2)) + problem.kl().sum((1, 2))
    problem.compare(problem.loss(weights=weights, reduction="none"), weights * losses)
    problem.compare(problem.loss(weights=weights, reduction="sum"), (weights * losses).sum())
    mean = (weights * losses).sum() / weights.sum()
    problem.compare(problem.loss(weights=weights), mean)
    (found,) = torch.autograd.grad(problem.loss(weights=weights), weights)
    torch.testing.assert_close(found, torch.autograd.grad(mean, weights)[0])


@pytest.mark.parametrize("over", [None, *FLOORS])
def test_datapoints_of_weight_zero_are_not_there(over: str | None) -> None:
    problem = Problem()
    keep = torch.tensor([True, False, True, True, False, True])
    options = {} if over is None else {"free_bits": FLOORS[over], "free_bits_over": over}
    loss = problem.loss(weights=keep.double(), **options)
    some = (t[keep] for t in (problem.output, problem.x, problem.mu, problem.logvar))
    problem.compare(loss, vk.elbo_loss(*some, **options))


OPTIONS = [
    *({"free_bits": floor, "free_bits_over": over} for over, floor in FLOORS.items()),
    {"capacity": 4.0},
    {"mask": MASK},
    {"weights": normal(B, seed=8).exp()},
    {"free_bits": 0.4, "mask": MASK, "weights": normal(B, seed=8).exp(), "reduction": "sum"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: "-".join(map(str, options)))
def test_options_under_compile_and_gradcheck(options: dict[str, Any]) -> None:
    problem = Problem()

    def loss(*leaves: Tensor) -> Tensor:
        output, mu, logvar = leaves
        return vk.elbo_loss(output, problem.x, mu, logvar, **options)

    assert torch.autograd.gradcheck(loss, problem.leaves)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    problem.compare(compiled(*problem.leaves), loss(*problem.leaves))
    with vk.backend("reference"):
        reference = loss(*problem.leaves)
    problem.compare(loss(*problem.leaves), reference)


WEIGHTS = normal(B, seed=8).exp()
MASKED_AND_WEIGHTED: list[dict[str, Any]] = [
    {},
    {"mask": MASK[:1], "reduction": "sum"},
    {"weights": WEIGHTS},
    {"mask": MASK, "weights": WEIGHTS.float(), "beta": 0.5},
    {"weights": WEIGHTS.bfloat16(), "reduction": "sum", "beta": torch.tensor(2.0)},
]


@pytest.mark.parametrize("options", MASKED_AND_WEIGHTED, ids=str)
def test_the_loss_is_one_pass_with_mask_and_weights_too(
    options: dict[str, Any], backend: str
) -> None:
    problem = Problem()
    on_device = {k: backends.put(v) if isinstance(v, Tensor) else v for k, v in options.items()}
    inputs = [backends.put(t).detach().requires_grad_() for t in (problem.x, *problem.leaves)]
    x, output, mu, logvar = inputs
    x.requires_grad_()
    with vk.backend(backend):
        loss = vk.elbo_loss(output, x, mu, logvar, **on_device)
    assert type(loss.grad_fn).__name__ == "_OnePassBackward"
    found = torch.autograd.grad(3.0 * loss, inputs, retain_graph=True)
    twice = torch.autograd.grad(3.0 * loss, inputs, create_graph=True)
    expected = vk.reference.elbo_loss(output, x, mu, logvar, **on_device)
    torch.testing.assert_close(loss, expected)
    wanted = torch.autograd.grad(3.0 * expected, inputs)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(twice, wanted)


def test_weights_that_want_a_gradient_take_several_passes() -> None:
    loss = Problem().loss(weights=WEIGHTS.clone().requires_grad_())
    assert type(loss.grad_fn).__name__ != "_OnePassBackward"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"free_bits": 1.0, "capacity": 1.0}, ValueError, "free_bits and capacity"),
        ({"free_bits": 1.0, "free_bits_over": "pixel"}, ValueError, "free.bits.over.*'pixel'"),
        ({"free_bits": torch.ones(2)}, ValueError, r"free_bits.*\(2,\)"),
        ({"free_bits": "1"}, TypeError, "free_bits.*str"),
        ({"capacity": torch.ones(2)}, ValueError, r"capacity.*\(2,\)"),
        ({"capacity": "1"}, TypeError, "capacity.*str"),
        ({"mask": torch.ones(B, 3, 4)}, TypeError, "mask.*bool.*float32"),
        ({"mask": [True]}, TypeError, "mask.*tensor.*list"),
        ({"mask": MASK[0]}, ValueError, r"mask.*\(6, 3, 4\).*\(3, 4\)"),
        ({"mask": MASK[:2]}, ValueError, r"mask.*\(6, 3, 4\).*\(2, 3, 4\)"),
        ({"mask": MASK.to("meta")}, ValueError, "mask.*device.*meta"),
        ({"weights": torch.ones(3)}, ValueError, r"weights.*\(6,\).*\(3,\)"),
        ({"weights": torch.ones(B, dtype=torch.int64)}, TypeError, "weights.*int64"),
        ({"weights": torch.ones(B, device="meta")}, ValueError, "weights.*device.*meta"),
    ],
)
def test_errors_of_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Problem().loss(**options)


def test_error_of_a_mask_on_a_likelihood_that_is_no_sum() -> None:
    class Whole(torch.nn.Module):
        def log_prob(self, output: Tensor, x: Tensor, *, batch_dims: int = 1) -> Tensor:
            return -(x - output).square().flatten(1).sum(1)

    with pytest.raises(ValueError, match=r"mask.*one term for each.*\(6, 3, 4\).*\(6,\)"):
        Problem().loss(likelihood=Whole(), mask=MASK)
