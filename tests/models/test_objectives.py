"""Balanced KL divergence, warm-up, total correlation and maximum mean discrepancy."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from loss_problem import F64, B, Problem, normal
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.utils._python_dispatch import TorchDispatchMode

import vaekern as vk
from vaekern import objectives

# --- balanced KL ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", ["logvar", "log_std", "std"])
def test_balanced_kl(scale: str) -> None:
    leaves = [normal(B, 5, seed=k).exp().requires_grad_() for k in range(4)]
    found = objectives.balanced_kl(*leaves, alpha=0.8, scale=scale)
    plain = vk.gaussian_kl(*leaves, scale=scale)
    torch.testing.assert_close(found, plain)
    gradients = torch.autograd.grad(plain.sum(), leaves)
    shares = (0.2, 0.2, 0.8, 0.8)
    expected = [share * g for share, g in zip(shares, gradients, strict=True)]
    torch.testing.assert_close(list(torch.autograd.grad(found.sum(), leaves)), expected)


def test_dreamer_v3_loss_is_the_balanced_one() -> None:
    """As documented: each of its two terms is clipped, with weights 0.5 and 0.1."""
    leaves = [(0.3 * normal(B, 2, seed=k)).requires_grad_() for k in range(4)]
    q, p = (Normal(m, torch.exp(0.5 * v)) for m, v in (leaves[:2], leaves[2:]))
    stopped = [Normal(d.mean.detach(), d.stddev.detach()) for d in (q, p)]
    dynamics = kl_divergence(stopped[0], p).sum(1).clamp(min=0.05)
    representation = kl_divergence(q, stopped[1]).sum(1).clamp(min=0.05)
    assert 0 < (dynamics == 0.05).sum() < B
    expected = 0.5 * dynamics + 0.1 * representation
    found = 0.6 * objectives.balanced_kl(*leaves, alpha=0.5 / 0.6).clamp(min=0.05)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found.sum(), leaves), torch.autograd.grad(expected.sum(), leaves)
    )


def test_errors_of_balanced_kl() -> None:
    t = normal(B, 2)
    with pytest.raises(ValueError, match=r"alpha: expected 0 to 1, got 1.5"):
        objectives.balanced_kl(t, t, t, t, alpha=1.5)
    with pytest.raises(TypeError, match=r"prior_logvar: expected a tensor, got float"):
        objectives.balanced_kl(t, t, t, 0.0)


# --- warm-up --------------------------------------------------------------------------------------


def values(warmup: objectives.KLWarmup, steps: int) -> list[float]:
    found = [warmup.beta.item()]
    for _ in range(steps):
        warmup.step()
        found.append(warmup.beta.item())
    return found


def test_linear_warmup() -> None:
    assert values(objectives.KLWarmup(4), 6) == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert values(objectives.KLWarmup(2, start=1.0, stop=5.0), 3) == [1.0, 3.0, 5.0, 5.0]


def test_cyclical_warmup() -> None:
    once = [0.0, 0.5, 1.0, 1.0]
    assert values(objectives.KLWarmup(2, period=4), 8) == [*once, *once, 0.0]


def test_warmup_is_read_by_compiled_code_without_compiling_again() -> None:
    problem, warmup = Problem(), objectives.KLWarmup(4)
    compilations = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Any:
        compilations.append(graph)
        return graph.forward

    compiled = torch.compile(
        lambda: problem.loss(beta=warmup.beta), fullgraph=True, backend=backend
    )
    for _ in range(4):
        warmup.step()
        torch.testing.assert_close(compiled(), problem.loss(beta=warmup.beta.item()))
    assert len(compilations) == 1


def test_compiled_step() -> None:
    warmup = objectives.KLWarmup(4, period=6)
    compiled = torch.compile(warmup.step, fullgraph=True, backend="aot_eager")
    for expected in (0.25, 0.5, 0.75, 1.0, 1.0, 0.0):
        compiled()
        assert warmup.beta.item() == expected


def test_warmup_goes_on_from_a_checkpoint() -> None:
    first, second = objectives.KLWarmup(8), objectives.KLWarmup(8)
    values(first, 3)
    second.load_state_dict(first.state_dict())
    assert second().item() == 3 / 8
    assert values(second, 2) == values(first, 2)


def test_warmup_of_a_model() -> None:
    """The model reads the tensor that the warm-up writes to."""
    warmup = objectives.KLWarmup(2)
    model = vk.VAE(_Split(), torch.nn.Linear(2, 4), beta=warmup.beta)
    x = torch.rand(3, 4)
    for _ in range(2):
        out = model(x)
        expected = (warmup.beta.item() * out.kl - out.log_likelihood).mean()
        torch.testing.assert_close(out.loss, expected)
        out.loss.backward()
        warmup.step()


class _Split(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.layer(x).chunk(2, -1)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"ramp_steps": 0}, "ramp_steps.*0"), ({"ramp_steps": 4, "period": 3}, "period.*4, got 3")],
)
def test_errors_of_warmup(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        objectives.KLWarmup(**options)


# --- total correlation ----------------------------------------------------------------------------


def dense_parts(z: Tensor, mu: Tensor, std: Tensor, size: int) -> list[Tensor]:
    """With all pairs at once, as Chen et al. do."""
    log_pairs = Normal(mu, std).log_prob(z[:, None])  # [B, B, D]
    normaliser = math.log(size * z.shape[0])
    log_joint = log_pairs.sum(2).logsumexp(1) - normaliser
    log_product = (log_pairs.logsumexp(1) - normaliser).sum(1)
    log_posterior = Normal(mu, std).log_prob(z).sum(1)
    log_prior = Normal(torch.zeros((), dtype=F64), 1.0).log_prob(z).sum(1)
    return [log_posterior - log_joint, log_joint - log_product, log_product - log_prior]


STD_OF = {"logvar": lambda s: torch.exp(0.5 * s), "log_std": torch.exp, "std": lambda s: s}


@pytest.mark.parametrize("chunk_size", [None, 1, 4, B, 100])
@pytest.mark.parametrize("scale", list(STD_OF))
def test_decomposed_kl(scale: str, chunk_size: int | None) -> None:
    z, mu, spread = (normal(B, 5, seed=k).requires_grad_() for k in range(3))
    given = spread.exp() if scale == "std" else spread
    found = objectives.decomposed_kl(z, mu, given, 50, chunk_size=chunk_size, scale=scale)
    expected = dense_parts(z, mu, STD_OF[scale](given), 50)
    for part, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(part, wanted)
        weights = normal(B, seed=7)
        torch.testing.assert_close(
            torch.autograd.grad((weights * part).sum(), (z, mu, spread), retain_graph=True),
            torch.autograd.grad((weights * wanted).sum(), (z, mu, spread), retain_graph=True),
        )


def test_parts_make_the_whole() -> None:
    z, mu, logvar = (normal(2, 3, 4, 2, seed=k, dtype=torch.float32) for k in range(3))
    parts = objectives.decomposed_kl(z, mu, logvar, 1000, batch_dims=2)
    whole = vk.gaussian_log_likelihood(mu, z, logvar, batch_dims=2)
    whole = whole - objectives.standard_normal_log_density(z, batch_dims=2)
    torch.testing.assert_close(sum(parts), whole, rtol=1e-5, atol=1e-5)


def test_decomposition_of_equal_posteriors() -> None:
    """Whose aggregate, but for the factor 1 / N of the estimator, is each of them."""
    z, mu, logvar = normal(B, 3), torch.zeros(B, 3, dtype=F64), torch.zeros(B, 3, dtype=F64)
    parts = objectives.decomposed_kl(z, mu, logvar, 100)
    for part, multiple in zip(parts, (1, 2, -3), strict=True):
        expected = torch.full((B,), multiple * math.log(100.0), dtype=F64)
        torch.testing.assert_close(part, expected)


def test_decomposed_kl_of_far_posteriors_and_half_precision() -> None:
    z = (1e3 * normal(B, 3)).bfloat16().requires_grad_()
    parts = objectives.decomposed_kl(z, z, torch.full_like(z, -20.0), 10)
    assert all(p.dtype is torch.float32 and p.isfinite().all() for p in parts)
    (gradient,) = torch.autograd.grad(parts.total_correlation.sum(), z)
    assert gradient.dtype is torch.bfloat16
    assert gradient.isfinite().all()


class _LargestTensor(TorchDispatchMode):
    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, Tensor):
                self.numel = max(self.numel, tensor.numel())
        return result


def test_decomposed_kl_makes_no_tensor_of_all_pairs() -> None:
    n, dims, chunk_size = 64, 10, 2
    tensors = [normal(n, dims, seed=k).requires_grad_() for k in range(3)]
    with _LargestTensor() as largest:
        parts = objectives.decomposed_kl(*tensors, 100, chunk_size=chunk_size)
        torch.autograd.grad(parts.total_correlation.sum(), tensors)
    assert largest.numel == n * chunk_size * dims


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"dataset_size": 0}, ValueError, "dataset_size.*0"),
        ({"chunk_size": 0}, ValueError, "chunk_size.*0"),
        ({"logvar": torch.zeros(3)}, ValueError, r"logvar.*\(6, 3\).*\(3,\)"),
        ({"mu": torch.zeros(B, 2)}, ValueError, r"\(6, 3\).*\(6, 2\)|\(6, 2\).*\(6, 3\)"),
        ({"z": torch.zeros(B, 3).long()}, TypeError, "int64"),
    ],
)
def test_errors_of_decomposed_kl(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    tensors = {name: torch.zeros(B, 3) for name in ("z", "mu", "logvar")}
    with pytest.raises(error, match=message):
        objectives.decomposed_kl(**{**tensors, "dataset_size": 10, **options})


# --- maximum mean discrepancy ---------------------------------------------------------------------


def gaussian_mmd(mean: float, variance: float, dims: int, width: float) -> float:
    """Of N(mean, variance) and N(0, 1) in each dimension: the kernel's mean under Gaussians is a
    Gaussian's density."""

    def mean_kernel(distance: float, variances: float) -> float:
        total = width + variances
        return (math.sqrt(width / total) * math.exp(-(distance**2) / (2.0 * total))) ** dims

    cross = mean_kernel(mean, variance + 1.0)
    return mean_kernel(0.0, 2.0 * variance) + mean_kernel(0.0, 2.0) - 2.0 * cross


@pytest.mark.parametrize("bandwidth", [None, 0.7])
def test_mmd_is_unbiased(bandwidth: float | None) -> None:
    n, dims = 500, 3
    found = []
    for k in range(n):
        z = 0.4 + math.sqrt(0.5) * normal(8, dims, seed=2 * k)
        y = normal(5, dims, seed=2 * k + 1)
        found.append(objectives.mmd(z, y, bandwidth=bandwidth, unbiased=True))
    samples = torch.stack(found)
    expected = gaussian_mmd(0.4, 0.5, dims, float(dims) if bandwidth is None else bandwidth)
    z_score = (samples.mean() - expected) / (samples.std() / n**0.5)
    assert abs(z_score.item()) < 4.0
    assert samples.mean() / (samples.std() / n**0.5) > 8.0  # so few would not see nothing


def test_biased_mmd_and_its_gradient() -> None:
    z, y = normal(4, 2, 3).requires_grad_(), normal(5, 2, 3, seed=1).requires_grad_()
    found = objectives.mmd(z, y, bandwidth=2.0)
    flat = torch.cat([z, y]).flatten(1)
    kernel = torch.exp(-(flat[:, None] - flat).square().sum(2) / 4.0)
    expected = kernel[:4, :4].mean() + kernel[4:, 4:].mean() - 2.0 * kernel[:4, 4:].mean()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found, (z, y)), torch.autograd.grad(expected, (z, y))
    )
    same = objectives.mmd(z, z.detach())
    torch.testing.assert_close(same, torch.zeros((), dtype=F64), rtol=0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"prior_z": torch.zeros(5, 2)}, ValueError, r"prior_z.*\(3,\).*\(2,\)"),
        ({"batch_dims": 3}, ValueError, "batch_dims.*0 to 2.*got 3"),
        ({"bandwidth": 0.0}, ValueError, "bandwidth.*0.0"),
        ({"z": torch.zeros(1, 3), "unbiased": True}, ValueError, "z: expected at least 2.*1"),
        ({"prior_z": torch.zeros(0, 3)}, ValueError, "prior_z: expected at least 1.*0"),
        ({"z": torch.zeros(4, 3).long()}, TypeError, "z.*int64"),
    ],
)
def test_errors_of_mmd(options: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"z": torch.zeros(4, 3), "prior_z": torch.zeros(5, 3)}
    with pytest.raises(error, match=message):
        objectives.mmd(**{**arguments, **options})
