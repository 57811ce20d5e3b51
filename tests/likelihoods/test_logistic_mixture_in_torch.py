"""Mixtures of discretized logistics: what torch does with them, masks, errors, and the module."""

from __future__ import annotations

import math
import re

import backends
import pytest
import torch
from mixtures import draw
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad

import vaekern as vk


def test_gradcheck() -> None:
    params, x = draw((1,), 2, (2,))
    params.unflatten(1, (10, 2))[:, 2::3].clamp_(min=-3.0)

    def value(params: Tensor) -> Tensor:
        return vk.logistic_mixture_log_likelihood(params, x)

    params.requires_grad_()
    assert torch.autograd.gradcheck(value, params, check_forward_ad=True, nondet_tol=0.0)
    assert torch.autograd.gradgradcheck(value, params, fast_mode=True)


def test_transforms_agree_with_the_reference() -> None:
    params, x = draw((3,), 2, (4,))

    def total(params: Tensor, x: Tensor) -> Tensor:
        return vk.logistic_mixture_log_likelihood(params, x, batch_dims=0).cos()

    def all_of_it() -> list[Tensor]:
        per_sample = torch.func.vmap(torch.func.grad(total))(params, x)
        one_image = torch.func.vmap(torch.func.grad(total), (0, None))(params, x[0])
        hessian = torch.func.hessian(total)(params[0, :, :1], x[0, :, :1])
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(params, params.cos())
            pushed = forward_ad.unpack_dual(vk.logistic_mixture_log_likelihood(dual, x)).tangent
        return [per_sample, one_image, hessian, pushed]

    got = all_of_it()
    with vk.backend("reference"):
        want = all_of_it()
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)


def test_compiled_and_checked_by_torch() -> None:
    params, x = draw((2,), 2, (3,))
    params = params.float().requires_grad_()

    def loss(params: Tensor) -> Tensor:
        return vk.logistic_mixture_log_likelihood(2.0 * params, x).sum()

    want = torch.autograd.grad(loss(params), params)
    got = torch.autograd.grad(
        torch.compile(loss, backend="aot_eager", fullgraph=True)(params), params
    )
    torch.testing.assert_close(got, want)
    op = torch.ops.vaekern.logistic_mixture_log_likelihood.default
    torch.library.opcheck(op, (params, x, 1, "cpu"))
    meta = vk.logistic_mixture_log_likelihood(params.to("meta"), x.to("meta"))
    with FakeTensorMode() as mode:
        fake = vk.logistic_mixture_log_likelihood(mode.from_tensor(params), mode.from_tensor(x))
    assert meta.shape == fake.shape == (2,)


def test_only_the_inputs_are_saved() -> None:
    params, x = draw((2,), 4, (6, 6))
    params = params.float().requires_grad_()
    saved: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        vk.logistic_mixture_log_likelihood(params, x).sum()
    assert {t.data_ptr() for t in saved} == {params.data_ptr(), x.data_ptr()}


def t(*shape: int, dtype: torch.dtype = torch.float32, device: str = "meta") -> Tensor:
    return torch.empty(shape, dtype=dtype, device=device)


@pytest.mark.table("implementation", "shared")
@pytest.mark.parametrize("shared", [False, True])
def test_pixels_outside_a_mask_are_not_there(shared: bool, implementation: str) -> None:
    """Whatever they are: the values and gradients are those of the other pixels alone."""
    params, x = (backends.put(t) for t in draw((2,), 2, (2, 4)))
    mask = backends.put(torch.tensor([[True, False, True, True]])).expand(2, 2, 4).clone()
    if shared:
        mask = mask[:1, :1]
    holes = params.masked_fill(~mask.unsqueeze(1), math.nan).requires_grad_()
    got = vk.logistic_mixture_log_likelihood(holes, x, mask=mask)
    (gradient,) = torch.autograd.grad(got.sum(), holes)
    kept = params[..., [0, 2, 3]].requires_grad_()
    want = vk.logistic_mixture_log_likelihood(kept, x[..., [0, 2, 3]])
    (wanted,) = torch.autograd.grad(want.sum(), kept)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(gradient[..., [0, 2, 3]], wanted)
    assert not gradient[..., 1].any()


def test_error_of_a_mask() -> None:
    params, x = t(2, 20, 4), t(2, 3, 4)
    with pytest.raises(ValueError, match=r"^mask: .*a colour of x, \(2, 4\).*got \(2, 3, 4\)"):
        vk.logistic_mixture_log_likelihood(params, x, mask=t(2, 3, 4, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"^mask: .*bool.*float32"):
        vk.logistic_mixture_log_likelihood(params, x, mask=t(2, 4))


@pytest.mark.parametrize(
    ("params", "x", "batch_dims", "error", "message"),
    [
        (t(2, 25, 4), t(2, 3, 4), 1, ValueError, r"params: expected 10 K channels.*\(25, 4\)"),
        (t(2, 0, 4), t(2, 3, 4), 1, ValueError, r"params: expected 10 K channels.*\(0, 4\)"),
        (t(2), t(2), 1, ValueError, r"params: expected 10 K channels"),
        (t(2, 20, 4), t(2, 1, 4), 1, ValueError, r"x: .*\(2, 3, 4\), got \(2, 1, 4\)"),
        (t(2, 20, 4), t(2, 3, 5), 1, ValueError, r"x: .*\(2, 3, 4\), got \(2, 3, 5\)"),
        (t(2, 20, 4), t(2, 3, 4, device="cpu"), 1, ValueError, "x: .*meta, got cpu"),
        (t(2, 20, 4), t(2, 3, 4).requires_grad_(), 1, ValueError, "x: .*requires_grad"),
        (t(2, 20, 4), t(2, 3, 4, dtype=torch.bool), 1, TypeError, "x: .*uint8, got bool"),
        (t(2, 20, 4, dtype=torch.int64), t(2, 3, 4), 1, TypeError, "params: .*got int64"),
        (t(2, 20, 4), t(2, 3, 4), 4, ValueError, "batch_dims: expected 0 to 3"),
    ],
)
def test_errors(
    params: Tensor, x: Tensor, batch_dims: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        vk.logistic_mixture_log_likelihood(params, x, batch_dims=batch_dims)
    assert re.match(message, str(caught.value)), str(caught.value)


# --- the module -----------------------------------------------------------------------------------


def test_the_module() -> None:
    likelihood = vk.LogisticMixtureLikelihood()
    params, x = draw((3,), 2, (4, 4))
    params = params.float()
    want = vk.logistic_mixture_log_likelihood(params, x)
    torch.testing.assert_close(likelihood.log_prob(params, x), want)
    mu = torch.randn(3, 2)
    loss = vk.elbo_loss(params, x, mu, mu, likelihood)
    torch.testing.assert_close(loss, (vk.gaussian_kl(mu, mu) - want).mean())
    assert likelihood.mean(params).shape == likelihood.sample(params).shape == x.shape


def test_samples_and_mean() -> None:
    """Colours of one component follow each other; the average log-likelihood of samples is that of
    a sharp mixture whose components hardly overlap."""
    params = torch.zeros(1, 10, 2, 1)
    params[:, 0, 0] = math.log(3.0)
    params[:, 1::3] = torch.tensor([-0.25, 0.25])[:, None]  # means
    params[:, 2::3] = -3.5
    params[:, 3::3] = 0.6  # coefficients
    likelihood = vk.LogisticMixtureLikelihood()
    many = params.flatten(1, 2).expand(1, 20, 40_000)
    samples = likelihood.sample(many, torch.Generator().manual_seed(3))
    assert samples.shape == (1, 3, 40_000)
    torch.testing.assert_close(samples, (127.5 * (samples + 1.0)).round() / 127.5 - 1.0)
    c = math.tanh(0.6)
    red = torch.tensor([-0.25, 0.25])
    green = red + c * red
    means = torch.stack([red, green, red + c * (red + green)])
    first = samples[0, 0] < 0.0
    assert first.float().mean().item() == pytest.approx(0.75, abs=0.01)
    for component, chosen in enumerate((first, ~first)):
        found = samples[0, :, chosen].mean(1)
        torch.testing.assert_close(found, means[:, component], rtol=0.0, atol=4e-3)
        slope = (samples[0, 1] - c * samples[0, 0])[chosen].std()
        assert slope.item() == pytest.approx(math.exp(-3.5) * math.pi / math.sqrt(3.0), rel=0.05)
    mean = likelihood.mean(many)[0, :, 0]
    torch.testing.assert_close(mean, 0.75 * means[:, 0] + 0.25 * means[:, 1], rtol=0.0, atol=4e-3)
    torch.testing.assert_close(mean, samples[0].mean(1), rtol=0.0, atol=0.02)
