"""The drop-in loss, and its one-pass form."""

from __future__ import annotations

import math
from typing import Any

import backends
import pytest
import torch
from compare import leaves
from torch import Tensor

import vaekern as vk
from vaekern._ops import one_pass

LIKELIHOODS = ["bernoulli", "gaussian", "gaussian-scalar", "gaussian-channel", "gaussian-full"]
EPSILONS = {torch.float64: 2.0**-52, torch.float32: 2.0**-23, torch.bfloat16: 2.0**-7}
EPSILONS[torch.float16] = 2.0**-10


class Problem:
    """Tensors of one loss, and the loss as a function of those that get gradients."""

    def __init__(self, likelihood: str, dtype: torch.dtype, batch: int = 5) -> None:
        generator = torch.Generator().manual_seed(7)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

        self.likelihood = likelihood.partition("-")[0]
        self.x = torch.rand(batch, 3, 4, 2, generator=generator, dtype=torch.float64).to(dtype)
        self.leaves = [normal(batch, 3, 4, 2), normal(batch, 6), normal(batch, 6)]
        shapes = {"scalar": (), "channel": (3,), "full": (batch, 3, 4, 2)}
        kind = likelihood.partition("-")[2]
        if kind:
            self.leaves.append(normal(*shapes[kind]))
        for leaf in self.leaves:
            leaf.requires_grad_()

    def loss(self, *leaves: Tensor, **options: Any) -> Tensor:
        output, mu, logvar, *variance = leaves or self.leaves
        decoded = (output, variance[0]) if variance else output
        return vk.elbo_loss(decoded, self.x, mu, logvar, self.likelihood, **options)

    def on_the_device(self) -> Problem:
        own = Problem.__new__(Problem)
        own.likelihood, own.x = self.likelihood, backends.put(self.x)
        own.leaves = leaves(self.leaves)
        return own

    def widened(self) -> Problem:
        wide = Problem.__new__(Problem)
        wide.likelihood, wide.x = self.likelihood, self.x.double()
        wide.leaves = [leaf.detach().double().requires_grad_() for leaf in self.leaves]
        return wide


def assert_near(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Relative to the largest element, as sums of many terms are."""
    bound = tolerance * expected.abs().max().clamp(min=1e-6)
    assert (actual.double() - expected).abs().max() <= bound


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("dtype", list(EPSILONS))
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_one_pass_loss_and_gradients(likelihood: str, dtype: torch.dtype, reduction: str) -> None:
    problem = Problem(likelihood, dtype)
    loss = problem.loss(beta=0.7, reduction=reduction)
    gradients = torch.autograd.grad(2.5 * loss, problem.leaves)
    wide = problem.widened()
    with vk.backend("reference"):
        expected = wide.loss(beta=0.7, reduction=reduction)
        expected_gradients = torch.autograd.grad(2.5 * expected, wide.leaves)
    assert loss.dtype == (torch.float64 if dtype is torch.float64 else torch.float32)
    assert_near(loss, expected, 4 * max(EPSILONS[loss.dtype], 2.0**-50))
    for gradient, wanted, leaf in zip(gradients, expected_gradients, problem.leaves, strict=True):
        assert gradient.dtype == leaf.dtype
        assert_near(gradient, wanted, 16 * max(EPSILONS[dtype], 2.0**-50))


def test_none_reduction_gives_one_loss_per_datapoint() -> None:
    problem = Problem("bernoulli", torch.float32)
    losses = problem.loss(reduction="none")
    assert losses.shape == (5,)
    torch.testing.assert_close(losses.mean(), problem.loss())
    torch.testing.assert_close(losses.sum(), problem.loss(reduction="sum"))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_backward_twice_gives_the_same(likelihood: str) -> None:
    problem = Problem(likelihood, torch.float32)
    for upstream in (1.0, -3.0):
        loss = problem.loss()
        scale = torch.tensor(upstream)
        passes = [
            torch.autograd.grad(loss, problem.leaves, scale, retain_graph=keep)
            for keep in (True, True, False)
        ]
        for gradient, again, last in zip(*passes, strict=True):
            assert torch.equal(gradient, again)
            assert torch.equal(gradient, last)


def test_retained_gradients_are_not_shared() -> None:
    """What a first backward returned may be written to without changing the second."""
    problem = Problem("bernoulli", torch.float32)
    loss = problem.loss()
    first = torch.autograd.grad(loss, problem.leaves, retain_graph=True)
    kept = [gradient.clone() for gradient in first]
    for gradient in first:
        gradient.zero_()
    for gradient, expected in zip(torch.autograd.grad(loss, problem.leaves), kept, strict=True):
        assert torch.equal(gradient, expected)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_second_derivatives(likelihood: str) -> None:
    problem = Problem(likelihood, torch.float64, batch=2)
    assert torch.autograd.gradcheck(problem.loss, problem.leaves)
    assert torch.autograd.gradgradcheck(problem.loss, problem.leaves)


def test_second_derivative_through_related_inputs() -> None:
    """One input computed from another: the paths must not be counted twice."""
    problem = Problem("bernoulli", torch.float64, batch=2)
    output, mu, _ = problem.leaves

    def loss(output: Tensor, mu: Tensor) -> Tensor:
        return problem.loss(output * mu.sum(), mu, mu * mu)

    assert torch.autograd.gradcheck(loss, (output, mu))
    assert torch.autograd.gradgradcheck(loss, (output, mu))


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2)])
def test_only_some_inputs_want_gradients(wanted: tuple[int, ...]) -> None:
    problem = Problem("bernoulli", torch.float32)
    everything = torch.autograd.grad(problem.loss(), problem.leaves)
    leaves = [leaf.detach().requires_grad_(k in wanted) for k, leaf in enumerate(problem.leaves)]
    some = torch.autograd.grad(problem.loss(*leaves), [leaves[k] for k in wanted])
    for gradient, k in zip(some, wanted, strict=True):
        assert torch.equal(gradient, everything[k])


def test_beta_as_a_tensor() -> None:
    problem = Problem("bernoulli", torch.float64)
    beta = torch.tensor(0.3, dtype=torch.float64)
    torch.testing.assert_close(problem.loss(beta=beta), problem.loss(beta=0.3))
    beta.requires_grad_()
    (gradient,) = torch.autograd.grad(problem.loss(beta=beta), beta)
    kl = vk.gaussian_kl(problem.leaves[1], problem.leaves[2]).mean()
    torch.testing.assert_close(gradient, kl.detach())


def test_a_beta_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="beta: expected a number, got nan"):
        Problem("bernoulli", torch.float32).loss(beta=math.nan)


def test_inputs_are_left_alone() -> None:
    problem = Problem("gaussian-full", torch.float32)
    before = [t.detach().clone() for t in (*problem.leaves, problem.x)]
    (5.0 * problem.loss()).backward()
    for tensor, expected in zip((*problem.leaves, problem.x), before, strict=True):
        assert torch.equal(tensor.detach(), expected)


def test_float16_gradients_do_not_underflow_before_the_loss_scale() -> None:
    logits = torch.full((2, 3), 12.0, dtype=torch.float16, requires_grad=True)
    x = torch.ones(2, 3)
    latent = torch.zeros(2, 1, dtype=torch.float16)
    loss = vk.elbo_loss(logits, x, latent, latent)
    (gradient,) = torch.autograd.grad(loss * 2.0**14, logits)
    expected = -0.5 * torch.sigmoid(torch.tensor(-12.0)).item() * 2.0**14
    torch.testing.assert_close(gradient.float(), torch.full((2, 3), expected), rtol=1e-3, atol=0.0)


@pytest.mark.table
@pytest.mark.parametrize("upstream", [1.0, -2.5])
@pytest.mark.parametrize("beta", [0.75, "tensor"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_one_pass_on_every_backend(
    likelihood: str, dtype: torch.dtype, beta: float | str, upstream: float, backend: str
) -> None:
    """The gradients of the forward, scaled in the backward where the upstream one is not 1; the
    first backward, which keeps the graph, leaves them as they are for the second."""
    weight = torch.tensor(0.75, device=backends.device) if beta == "tensor" else beta
    problem = Problem(likelihood, dtype)
    wide = problem.widened()
    expected = torch.autograd.grad(upstream * wide.loss(beta=0.75), wide.leaves)
    problem = problem.on_the_device()
    with vk.backend(backend):
        loss = problem.loss(beta=weight)
    assert type(loss.grad_fn).__name__ == "_OnePassBackward"
    g = torch.full_like(loss, upstream)
    first = torch.autograd.grad(loss, problem.leaves, g, retain_graph=True)
    second = torch.autograd.grad(loss, problem.leaves, g)
    assert_near(loss.cpu(), wide.loss(beta=0.75), 16 * EPSILONS[loss.dtype])
    for a, b, want in zip(first, second, expected, strict=True):
        assert_near(a.cpu(), want, 16 * EPSILONS[dtype])
        assert_near(b.cpu(), want, 16 * EPSILONS[dtype])


def test_one_pass_runs_where_it_should() -> None:
    problem = Problem("bernoulli", torch.float32)
    assert type(problem.loss().grad_fn).__name__ == "_OnePassBackward"
    with torch.no_grad():
        assert problem.loss().grad_fn is None
    with vk.backend("reference"):
        assert type(problem.loss().grad_fn).__name__ != "_OnePassBackward"
    assert not one_pass.applies([])


def test_under_compile_and_func() -> None:
    problem = Problem("bernoulli", torch.float32)
    compiled = torch.compile(problem.loss, fullgraph=True, backend="aot_eager")
    expected = torch.autograd.grad(problem.loss(*problem.leaves), problem.leaves)
    found = torch.autograd.grad(compiled(*problem.leaves), problem.leaves)
    with_beta = torch.compile(
        lambda beta: problem.loss(beta=beta), fullgraph=True, backend="aot_eager"
    )
    torch.testing.assert_close(with_beta(torch.tensor(0.5)), problem.loss(beta=0.5))
    functional = torch.func.grad(problem.loss, (0, 1, 2))(*problem.leaves)
    for gradient, compiled_gradient, other in zip(expected, found, functional, strict=True):
        torch.testing.assert_close(compiled_gradient, gradient)
        torch.testing.assert_close(other, gradient)


def test_empty_batch() -> None:
    problem = Problem("bernoulli", torch.float32, batch=0)
    assert math.isnan(problem.loss().item())  # the mean of nothing, as everywhere in torch
    loss = problem.loss(reduction="sum")
    assert loss.item() == 0.0
    loss.backward()


def test_custom_likelihood_module() -> None:
    class Laplace(torch.nn.Module):
        def log_prob(self, output: Tensor, x: Tensor, *, batch_dims: int = 1) -> Tensor:
            return -((x - output).abs() + math.log(2.0)).flatten(batch_dims).sum(-1)

    problem = Problem("gaussian", torch.float32)
    output, mu, logvar = problem.leaves
    loss = vk.elbo_loss(output, problem.x, mu, logvar, Laplace())
    expected = (vk.gaussian_kl(mu, logvar) - Laplace().log_prob(output, problem.x)).mean()
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"reduction": "batchmean"}, ValueError, "reduction.*'mean', 'sum', 'none'.*'batchmean'"),
        ({"beta": torch.ones(2)}, ValueError, r"beta.*without dimensions.*\(2,\)"),
        ({"beta": "1"}, TypeError, "beta.*str"),
        ({"likelihood": "cauchy"}, ValueError, "likelihood.*'bernoulli'.*'cauchy'"),
        ({"mu": torch.zeros(4, 6), "logvar": torch.zeros(4, 6)}, ValueError, r"mu.*\(5,\).*\(4,\)"),
        ({"decoder_output": (torch.zeros(5, 3), 0.0)}, TypeError, "decoder_output.*logits.*tuple"),
    ],
)
def test_errors(options: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {
        "decoder_output": torch.zeros(5, 3),
        "x": torch.zeros(5, 3),
        "mu": torch.zeros(5, 6),
        "logvar": torch.zeros(5, 6),
    }
    with pytest.raises(error, match=message):
        vk.elbo_loss(**{**arguments, **options})


def test_the_default_device_is_nobodys_business(implementation: str) -> None:
    """Results and what is in between lie where the arguments do."""
    logits, x, mu = (torch.rand(3, 4, device=backends.device) for _ in range(3))
    logits.requires_grad_()
    with torch.device("meta"):
        loss = vk.elbo_loss(logits, x, mu, mu)
        loss.backward()
    assert logits.grad is not None
    assert loss.device == logits.grad.device == mu.device
    assert loss.item() == vk.elbo_loss(logits, x, mu, mu).item()
