"""``DiagonalGaussianDistribution`` against that of diffusers."""

from __future__ import annotations

import warnings

import pytest
import torch
from agreement import DTYPES, check_agreement, normal, results_and_gradients
from torch import Tensor

vae = pytest.importorskip("diffusers.models.autoencoders.vae", reason="pip install diffusers")

from vaekern.compat import DiagonalGaussianDistribution as Ours  # noqa: E402 - after the skip
from vaekern.compat import _warnings  # noqa: E402

Original = vae.DiagonalGaussianDistribution
BOTH = (Ours, Original)
SHAPE = (3, 8, 4, 5)


def parameters() -> Tensor:
    """Some log-variances beyond both clamps, and on them."""
    drawn = normal(*SHAPE)
    drawn[0, 4, 0, :4] = torch.tensor([-31.0, -30.0, 20.0, 21.0])
    return drawn


@pytest.fixture(autouse=True)
def _warn_anew() -> None:
    _warnings._said.clear()


# --- values and gradients -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_kl(dtype: torch.dtype) -> None:
    check_agreement(lambda p: Ours(p).kl(), lambda p: Original(p).kl(), [parameters()], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [SHAPE, (1, 8, 4, 5)], ids=["full", "shared"])
def test_kl_to_another(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensors = [normal(*SHAPE), normal(*shape, seed=1)]
    check_agreement(
        lambda p, q: Ours(p).kl(Ours(q)), lambda p, q: Original(p).kl(Original(q)), tensors, dtype
    )


@pytest.mark.parametrize("dims", [(1, 2, 3), [1, 2, 3], (0, -1), 2, (), None], ids=str)
def test_nll(dims: object) -> None:
    for dtype in DTYPES:
        check_agreement(
            lambda p, x: Ours(p).nll(x, dims),
            lambda p, x: Original(p).nll(x, dims),
            [normal(*SHAPE), normal(3, 4, 4, 5, seed=1)],
            dtype,
        )


def test_nll_default_and_broadcast_sample() -> None:
    check_agreement(
        lambda p, x: Ours(p).nll(x),
        lambda p, x: Original(p).nll(x),
        [normal(*SHAPE), normal(1, 4, 4, 5, seed=1)],
        torch.float32,
    )


def test_nll_of_integers() -> None:
    """Numbers, not intensities."""
    sample = torch.arange(3 * 80, dtype=torch.uint8).reshape(3, 4, 4, 5)
    of = normal(*SHAPE).float()
    torch.testing.assert_close(Ours(of).nll(sample), Original(of).nll(sample))


@pytest.mark.parametrize("dtype", DTYPES)
def test_attributes(dtype: torch.dtype) -> None:
    for name in ("mean", "logvar", "std", "var"):
        for deterministic in (False, True):
            of = parameters().to(dtype)
            got, want = (getattr(of_class(of, deterministic), name) for of_class in BOTH)
            assert torch.equal(got, want)
    assert torch.equal(Ours(of).mode(), Original(of).mode())
    assert Ours(of).parameters is of


def test_deterministic() -> None:
    of = parameters().float().requires_grad_()
    for method in ("kl", "nll"):
        arguments = [of] if method == "nll" else []
        got, want = (getattr(c(of, deterministic=True), method)(*arguments) for c in BOTH)
        assert torch.equal(got, want)
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
    found = []
    for of_class in BOTH:
        torch.manual_seed(1)
        posterior = of_class(of, deterministic=True)
        z = posterior.sample()
        assert z.data_ptr() != posterior.mean.data_ptr()
        found.append([z, *torch.autograd.grad(z.square().sum(), of), torch.rand(1)])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)


def test_kl_to_a_deterministic_one() -> None:
    """Infinite; where the means are equal too, which the original calls NaN."""
    p, q = normal(*SHAPE).float(), normal(*SHAPE, seed=1).float()
    assert torch.equal(Ours(p).kl(Ours(q, True)), Original(p).kl(Original(q, True)))
    assert Ours(p).kl(Ours(p, True)).isposinf().all()
    assert Original(p).kl(Original(p, True)).isnan().all()


# --- samples ------------------------------------------------------------------------------------


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(k) for k in range(count)]


SOURCES = {
    "default": lambda: None,
    "one": lambda: torch.Generator().manual_seed(4),
    "list of one": lambda: generators(1),
    "one per datapoint": lambda: generators(3),
    "more than datapoints": lambda: generators(5),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_same_seed_same_sample(dtype: torch.dtype, source: str) -> None:
    found = []
    for of_class in BOTH:
        torch.manual_seed(2)
        generator = SOURCES[source]()
        found.append(
            results_and_gradients(
                lambda p, c=of_class, g=generator: c(p).sample(g), [normal(*SHAPE).to(dtype)], dtype
            )
        )
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_same_seed_same_sample_in_bfloat16() -> None:
    """Both round: the original four operations (exp, product, sum), this one its result."""
    of = normal(*SHAPE).bfloat16()
    found = []
    for of_class in BOTH:
        torch.manual_seed(2)
        found.append(of_class(of).sample())
    got, want = found
    assert got.dtype is want.dtype
    mean, spread = Original(of).mean.float().abs(), (want - Original(of).mean).float().abs()
    allowed = 2 * torch.finfo(torch.bfloat16).eps * (mean + spread)
    assert ((got.float() - want.float()).abs() <= allowed).all()


@pytest.mark.parametrize("source", SOURCES)
def test_fused_noise(source: str) -> None:
    class Fused(Ours):
        noise = "fused"

    of, samples = torch.zeros(3, 2, 100, 100), []
    for _ in range(2):
        torch.manual_seed(2)
        samples.append(Fused(of).sample(SOURCES[source]()))
    assert torch.equal(*samples)
    assert not torch.equal(samples[0][0], samples[0][1])
    assert samples[0].mean().abs() < 0.03
    assert (samples[0].std() - 1.0).abs() < 0.03


@pytest.mark.parametrize("shape", [(2, 8, 6, 5), (2, 8, 3, 6, 5), (2, 8, 1, 1)], ids=str)
@pytest.mark.parametrize("channels_last", [False, True])
def test_samples_lie_in_memory_as_there(shape: tuple[int, ...], channels_last: bool) -> None:
    """Else the decoder's convolutions would take another way than without the drop-in."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    parameters = normal(*shape)
    if channels_last:
        parameters = parameters.contiguous(memory_format=formats[len(shape)])
    samples = []
    for kind in BOTH:
        torch.manual_seed(0)
        samples.append(kind(parameters).sample())
    ours, theirs = samples
    assert ours.is_contiguous(memory_format=formats[len(shape)]) == theirs.is_contiguous(
        memory_format=formats[len(shape)]
    )
    assert ours.is_contiguous() == theirs.is_contiguous()
    torch.testing.assert_close(ours, theirs)


def test_each_datapoint_has_its_generator() -> None:
    class Fused(Ours):
        noise = "fused"

    of = normal(*SHAPE)
    for of_class in (Ours, Fused):
        a, b = (of_class(of).sample(generators(5)[k : k + 3]) for k in (0, 1))
        c = of_class(of).sample([generators(3)[2], generators(3)[1], generators(3)[2]])
        assert torch.equal(a[1:], c[1:])
        assert not torch.equal(a[0], c[0])
        assert not torch.equal(a[1], b[1])


def test_a_list_too_short() -> None:
    for of_class in BOTH:
        with pytest.raises(IndexError):
            of_class(normal(*SHAPE)).sample(generators(2))


# --- shapes other than images -------------------------------------------------------------------


def test_compiled() -> None:
    torch._dynamo.reset()

    def loss(parameters: Tensor) -> Tensor:
        posterior = Ours(parameters)
        z = posterior.sample()
        return posterior.kl().sum() + posterior.nll(z).sum() + (posterior.std * z).sum()

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    found = []
    for function in (compiled, loss):
        torch.manual_seed(1)
        found.append(results_and_gradients(function, [normal(*SHAPE)], torch.float64))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)


def test_videos_compiled() -> None:
    """Where there is no warning."""
    torch._dynamo.reset()
    compiled = torch.compile(lambda p: Ours(p).kl(), backend="aot_eager", fullgraph=True)
    video = normal(2, 4, 3, 5, 6)
    torch.testing.assert_close(compiled(video), Original(video).kl())


def test_videos_are_summed_as_there_with_a_warning() -> None:
    video = normal(2, 4, 3, 5, 6)
    x = normal(2, 2, 3, 5, 6, seed=1)
    with pytest.warns(UserWarning, match=r"gaussian_kl\(posterior.mean, posterior.logvar\)"):
        kl = Ours(video).kl()
    assert kl.shape == (2, 6)
    torch.testing.assert_close(kl, Original(video).kl())
    with pytest.warns(UserWarning, match=r"nll\(\) of diffusers sums"):
        nll = Ours(video).nll(x)
    torch.testing.assert_close(nll, Original(video).nll(x))


def test_the_warning_comes_once() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            Ours(normal(2, 4, 3, 5, 6)).kl()
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_sequences_are_refused() -> None:
    for of_class in BOTH:
        with pytest.raises(IndexError, match=r"range|dims: expected -3 to 2"):
            of_class(normal(2, 4, 3)).kl()
