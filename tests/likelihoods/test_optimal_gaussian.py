"""The Gaussian of the batch's own variance: its value, its gradients, and what evaluation uses."""

from __future__ import annotations

import math

import backends
import pytest
import torch
from torch import Tensor, nn

import vaekern as vk


def _batch(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    mean, x = torch.randn(2, 6, 3, 4, dtype=dtype).unbind()
    return mean.requires_grad_(), 0.1 * x + 0.9 * mean.detach()


def _formula(mean: Tensor, x: Tensor) -> Tensor:
    """-N/2 (log(2 pi MSE) + 1), differentiated through the error."""
    return -0.5 * x.numel() * (torch.log(2.0 * math.pi * (x - mean).square().mean()) + 1.0)


def test_the_batch_has_the_value_and_gradients_of_the_formula(implementation: str) -> None:
    mean, x = (backends.put(t.detach()).requires_grad_() for t in _batch())
    likelihood = vk.OptimalGaussianLikelihood().to(backends.device)
    got, want = likelihood.log_prob(mean, x).sum(), _formula(mean, x)
    torch.testing.assert_close(got, want)
    gradients = [torch.autograd.grad(total, [mean, x]) for total in (got, want)]
    torch.testing.assert_close(*gradients)


def test_a_learned_variance_has_its_optimum_there() -> None:
    mean, x = _batch(torch.float32)
    learned = vk.GaussianLikelihood((x - mean).square().mean().log().item(), learned=True)
    want = learned.log_prob(mean, x)
    torch.testing.assert_close(vk.OptimalGaussianLikelihood().log_prob(mean, x), want)
    want.sum().backward()
    assert isinstance(learned.logvar, Tensor)
    assert learned.logvar.grad is not None
    assert learned.logvar.grad.abs() < 1e-3  # of terms that are 36


def test_small_errors_keep_their_digits() -> None:
    x = torch.rand(8, 1000)
    likelihood = vk.OptimalGaussianLikelihood(momentum=1.0)
    likelihood.log_prob(x + 1e-6 * torch.randn_like(x), x)
    assert likelihood.variance.item() == pytest.approx(1e-12, rel=0.1)
    assert likelihood.log_prob(x, x).isposinf().all()
    clamped = vk.OptimalGaussianLikelihood(logvar_clamp=(-12.0, 0.0))
    torch.testing.assert_close(
        clamped.log_prob(x, x), vk.gaussian_log_likelihood(x, x, logvar=-12.0)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_bytes(dtype: torch.dtype) -> None:
    x = torch.randint(0, 256, (5, 1, 4, 4), dtype=torch.uint8)
    mean = torch.rand(5, 1, 4, 4).to(dtype)
    got = vk.OptimalGaussianLikelihood().log_prob(mean, x)
    assert got.dtype is torch.float32
    torch.testing.assert_close(got.sum(), _formula(mean.float(), x / 255.0))


def test_evaluation_uses_the_average() -> None:
    """The mean over batches at first, an exponential average later."""
    likelihood = vk.OptimalGaussianLikelihood(momentum=0.4)
    assert likelihood.eval().variance == 1.0
    likelihood.train()
    variances = []
    for _ in range(4):
        mean, x = _batch(torch.float32)
        variances.append((x - mean).square().mean().item())
        likelihood.log_prob(mean, x)
    mean_of_two = 0.5 * (variances[0] + variances[1])
    of_three = 0.6 * mean_of_two + 0.4 * variances[2]
    want = 0.6 * of_three + 0.4 * variances[3]
    assert likelihood.variance.item() == pytest.approx(want, rel=1e-5)
    likelihood.eval()
    got = likelihood.log_prob(mean, x)
    torch.testing.assert_close(got, vk.gaussian_log_likelihood(mean, x, math.log(want)))
    torch.testing.assert_close(got[2:3], likelihood.log_prob(mean[2:3], x[2:3]))
    assert likelihood.num_batches_tracked == 4


def test_state_dict() -> None:
    mean, x = _batch(torch.float32)
    trained, fresh = vk.OptimalGaussianLikelihood(), vk.OptimalGaussianLikelihood().eval()
    trained.log_prob(mean, x)
    assert list(trained.state_dict()) == ["variance", "num_batches_tracked"]
    assert not list(trained.parameters())
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh.log_prob(mean, x), trained.eval().log_prob(mean, x))


def test_empty_batches_have_the_average() -> None:
    likelihood = vk.OptimalGaussianLikelihood()
    assert likelihood.log_prob(torch.zeros(0, 4), torch.zeros(0, 4)).shape == (0,)
    assert likelihood.log_prob(torch.zeros(4, 0), torch.zeros(4, 0)).tolist() == [0.0] * 4
    assert likelihood.num_batches_tracked == 0
    assert likelihood.variance == 1.0


def test_samples_have_the_average_variance() -> None:
    likelihood = vk.OptimalGaussianLikelihood()
    x = torch.zeros(100, 1000)
    likelihood.log_prob(x + 3.0, x)
    deviations = likelihood.sample(x + 2.0, torch.Generator().manual_seed(3)) - 2.0
    assert deviations.std().item() == pytest.approx(3.0, rel=0.02)
    assert likelihood.mean(x) is x


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = self.layer(x).chunk(2, dim=-1)
        return mu, logvar


def test_a_model_trains_and_its_loss_fuses() -> None:
    model = vk.VAE(_Encoder(), nn.Linear(2, 12), vk.OptimalGaussianLikelihood())
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    x = torch.randn(32, 12) * torch.linspace(0.1, 3.0, 12)
    losses = []
    for _ in range(30):
        out = model(x)
        losses.append(out.loss.item())
        optimiser.zero_grad()
        out.loss.backward()
        optimiser.step()
    assert losses[-1] < losses[0] - 1.0
    fused = vk.elbo_loss(out.decoder_output, x, out.mu, out.logvar, model.likelihood)
    torch.testing.assert_close(fused, out.loss)
    assert "likelihood.variance" in model.state_dict()
    assert model.eval()(x).loss.isfinite()


def test_compiled() -> None:
    torch._dynamo.reset()
    mean, x = _batch(torch.float32)
    mu = torch.randn(6, 2, requires_grad=True)
    eager, traced = vk.OptimalGaussianLikelihood(), vk.OptimalGaussianLikelihood()
    compiled = torch.compile(vk.elbo_loss, backend="aot_eager", fullgraph=True)
    for _ in range(2):
        want = vk.elbo_loss(mean, x, mu, mu, eager)
        got = compiled(mean, x, mu, mu, traced)
        torch.testing.assert_close(got, want)
        gradients = [torch.autograd.grad(loss, [mean, mu]) for loss in (got, want)]
        torch.testing.assert_close(*gradients)
    torch.testing.assert_close(traced.state_dict(), eager.state_dict())


def test_errors() -> None:
    likelihood, x = vk.OptimalGaussianLikelihood(), torch.zeros(3, 4)
    with pytest.raises(ValueError, match=r"momentum: expected .* 0 to 1, got 1.5"):
        vk.OptimalGaussianLikelihood(momentum=1.5)
    with pytest.raises(TypeError, match="decoder_output: expected a tensor, got tuple"):
        likelihood.log_prob((x, x), x)
    with pytest.raises(ValueError, match=r"x: expected the shape of decoder_output, \(3, 4\)"):
        likelihood.log_prob(x, x[:2])
    with pytest.raises(TypeError, match=r"x: expected dtype .* got int64"):
        likelihood.log_prob(x, x.long())
    with pytest.raises(ValueError, match="decoder_output: expected the device of variance, cpu"):
        likelihood.log_prob(x.to("meta"), x.to("meta"))
    assert likelihood.num_batches_tracked == 0
