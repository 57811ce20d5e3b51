"""Mixtures of discretized logistics: every backend against plain torch in float64, and that against
scipy."""

from __future__ import annotations

import math
from collections.abc import Callable

import backends
import numpy as np
import pytest
import torch
from compare import same_bits
from mixtures import draw
from operations.case import DTYPES, name_of
from scipy.special import logsumexp, softmax
from scipy.stats import logistic
from torch import Tensor

import vaekern as vk


def value_and_gradient(
    params: Tensor, x: Tensor, upstream: Tensor, backend: str, batch_dims: int = 1
) -> list[Tensor]:
    leaf = backends.put(params).detach().requires_grad_()
    with vk.backend(backend):
        value = vk.logistic_mixture_log_likelihood(leaf, backends.put(x), batch_dims=batch_dims)
    (gradient,) = torch.autograd.grad(value, leaf, backends.put(upstream))
    return [value.detach().cpu(), gradient.cpu()]


def assert_backward_stable(
    params: Tensor, x: Tensor, backend: str, batch_dims: int = 1, ulps: float = 16.0
) -> None:
    """Results are those of parameters that differ by a few ulps of the arithmetic, which the
    reference in float64 shows the effect of, rounded to the dtype they are stored in."""
    generator = torch.Generator().manual_seed(1)
    upstream = torch.randn(params.shape[:batch_dims], generator=generator)
    wide = torch.float64 if params.dtype is torch.float64 else torch.float32
    got = value_and_gradient(params, x, upstream.to(wide), backend, batch_dims)
    assert [t.dtype for t in got] == [wide, params.dtype]
    exact, eps = params.double(), ulps * torch.finfo(wide).eps
    x = x.double() if x.is_floating_point() else x
    want = value_and_gradient(exact, x, upstream.double(), "reference", batch_dims)
    allowed = [eps * (1.0 + t.abs()) for t in want]
    for _ in range(4):
        signs = torch.randint(0, 2, exact.shape, generator=generator) * 2.0 - 1.0
        moved = exact + eps * signs * (1.0 + exact.abs())
        found = value_and_gradient(moved, x, upstream.double(), "reference", batch_dims)
        allowed = [a + (f - w).abs() for a, f, w in zip(allowed, found, want, strict=True)]
    for number, exact_number, error in zip(got, want, allowed, strict=True):
        stored = torch.finfo(number.dtype)
        rounding = stored.eps * exact_number.abs() + stored.smallest_normal * stored.eps
        assert ((number.double() - exact_number).abs() <= error + rounding).all()


# --- values and gradients -------------------------------------------------------------------------

SHAPES = (
    ((2,), 3, (4, 5), 1),
    ((1,), 1, (1,), 1),
    ((2, 2), 10, (7,), 2),
    ((), 2, (3, 3), 0),
    ((2,), 2, (), 1),
    ((2,), 2, (16, 17), 1),  # several tiles and blocks
)


@pytest.mark.parametrize(("batch", "components", "pixels", "batch_dims"), SHAPES, ids=str)
def test_shapes(
    batch: tuple[int, ...],
    components: int,
    pixels: tuple[int, ...],
    batch_dims: int,
    fast_backend: str,
) -> None:
    params, x = draw(batch, components, pixels)
    assert_backward_stable(params.float(), x, fast_backend, batch_dims)


@pytest.mark.parametrize("dtype", DTYPES, ids=name_of)
def test_dtypes(dtype: torch.dtype, backend: str) -> None:
    """Bytes, and in double precision floats; just more pixels than one block has."""
    params, x = draw((1,), 2, (130,))
    if dtype is torch.float64:
        x = 2.0 * x.double() / 255.0 - 1.0
    assert_backward_stable(params.to(dtype), x, backend)


def test_levels_of_half_precision(fast_backend: str) -> None:
    params, x = draw((2,), 2, (7,))
    levels = (2.0 * x.float() / 255.0 - 1.0).bfloat16()
    assert_backward_stable(params.float(), levels, fast_backend)


def test_instruction_sets(isa: str) -> None:
    params, x = draw((2,), 4, (300,))
    assert_backward_stable(params.float(), x, "cpu")


@pytest.mark.parametrize("layout", ["channels_last", "expanded", "sliced"])
def test_layouts(layout: str, fast_backend: str) -> None:
    params, x = draw((4,), 2, (3, 4))
    views: dict[str, Callable[[Tensor], Tensor]] = {
        "channels_last": lambda t: t.contiguous(memory_format=torch.channels_last),
        "expanded": lambda t: t[:1].expand(t.shape),
        "sliced": lambda t: torch.cat([t, t], -1)[..., 1 : 1 + t.shape[-1]],
    }
    assert_backward_stable(views[layout](params.float()), views[layout](x), fast_backend)


def test_it_is_the_mixture_of_cdf_differences() -> None:
    """In the order of PixelCNN++: written anew, pixel by pixel."""
    components = 3
    params, x = draw((2,), components, (5,))
    got = vk.logistic_mixture_log_likelihood(params, x)
    for b in range(2):
        total = 0.0
        for pixel in range(5):
            p, levels = params[b, :, pixel].numpy(), 2.0 * x[b, :, pixel].numpy() / 255.0 - 1.0
            colours = p[components:].reshape(3, 3 * components)
            mean, log_scale, c = (colours[:, i * components :][:, :components] for i in range(3))
            c = np.tanh(c)
            mean = np.stack(
                [mean[0], mean[1] + c[0] * levels[0], mean[2] + c[1] * levels[0] + c[2] * levels[1]]
            )
            distribution = logistic(mean, np.exp(np.maximum(log_scale, -7.0)))
            ends = [
                np.where(levels == side, side * np.inf, levels + side / 255.0)[:, None]
                for side in (1.0, -1.0)
            ]
            bins = distribution.cdf(ends[0]) - distribution.cdf(ends[1])
            with np.errstate(divide="ignore"):
                log_p = np.log(bins).sum(0)
            total += logsumexp(np.log(softmax(p[:components])) + log_p)
        if math.isfinite(total):  # elsewhere, the differences cancelled
            assert got[b].item() == pytest.approx(total, rel=1e-6)
    assert math.isfinite(total)


def test_far_from_every_component(implementation: str) -> None:
    """Where the difference of the distribution function is 0, and clamped by the usual code."""
    params = torch.zeros(1, 20, 1)
    params[:, 2::6] = params[:, 3::6] = 0.0
    params = params.unflatten(1, (10, 2)).contiguous()
    params[:, 1::3] = torch.tensor([5.0, 5.5])[:, None]  # means
    params[:, 2::3] = -4.0
    x = torch.zeros(1, 3, 1, device=backends.device)
    got = vk.logistic_mixture_log_likelihood(params.flatten(1, 2).to(backends.device), x)
    share = math.log(-math.expm1(-2.0 / 255.0 * math.exp(4.0)))
    one = -(5.0 - 1.0 / 255.0) * math.exp(4.0) + share
    assert got.item() == pytest.approx(3.0 * one - math.log(2.0), rel=1e-6)


@pytest.mark.parametrize("log_scale", [-1e4, -7.0, -6.9, 0.0, 9.0, 41.0, 200.0])
@pytest.mark.parametrize("mean", [0.0, 1.01, -30.0, 1e4])
def test_extreme_parameters(log_scale: float, mean: float, fast_backend: str) -> None:
    """At the lowest and the highest level, between them and next to the mean."""
    params, _ = draw((1,), 2, (5,))
    planes = params.unflatten(1, (10, 2))
    planes[:, 1::3] = mean + 1e-3 * planes[:, 1::3]
    planes[:, 2::3] = log_scale + 1e-2 * planes[:, 2::3]
    x = torch.tensor([0, 1, 128, 254, 255], dtype=torch.uint8).expand(1, 3, 5)
    assert_backward_stable(params.float(), x, fast_backend)


def test_the_bound_of_the_scales() -> None:
    """Gradients are 0 below and whole on the bound."""
    params, x = draw((1,), 1, (3,))
    scales = params.unflatten(1, (3 + 7, 1))[:, 2::3]
    scales.copy_(torch.tensor([-7.5, -7.0, -6.5], dtype=torch.float64))
    params.requires_grad_()
    for backend in ("cpu", "reference"):
        with vk.backend(backend):
            value = vk.logistic_mixture_log_likelihood(params, x)
        (found,) = torch.autograd.grad(value, params)
        zero = found.unflatten(1, (10, 1))[:, 2::3].squeeze() == 0.0
        assert zero.tolist() == [[True, False, False]] * 3


def test_nan_stays_in_its_datapoint(implementation: str) -> None:
    params, x = draw((3,), 2, (4,))
    for channel in (0, 5, 15):
        broken = params.float().to(backends.device)
        broken[1, channel, 2] = math.nan
        found = vk.logistic_mixture_log_likelihood(broken, x.to(backends.device))
        assert found.isnan().tolist() == [False, True, False]


def test_empty(backend: str) -> None:
    for shape in ((0, 20, 4), (2, 20, 0)):
        params = torch.zeros(shape, requires_grad=True)
        x = torch.zeros(shape[0], 3, shape[2], dtype=torch.uint8)
        with vk.backend(backend):
            value = vk.logistic_mixture_log_likelihood(params, x)
        value.sum().backward()
        assert value.tolist() == [0.0] * shape[0]
        assert params.grad is not None
        assert params.grad.shape == shape


# --- bit for bit ----------------------------------------------------------------------------------


def test_threads(set_threads: Callable[[int], None]) -> None:
    params, x = draw((3,), 4, (33, 31))
    upstream = torch.ones(3)
    set_threads(1)
    want = value_and_gradient(params.float(), x, upstream, "cpu")
    for threads in (2, 3):
        set_threads(threads)
        assert all(map(same_bits, value_and_gradient(params.float(), x, upstream, "cpu"), want))


def test_a_datapoint_alone_and_in_a_batch(fast_backend: str) -> None:
    params, x = draw((4,), 2, (9, 17))
    batch = value_and_gradient(params.float(), x, torch.ones(4), fast_backend)
    alone = value_and_gradient(params[2:3].float(), x[2:3], torch.ones(1), fast_backend)
    assert all(same_bits(a, b[2:3]) for a, b in zip(alone, batch, strict=True))
