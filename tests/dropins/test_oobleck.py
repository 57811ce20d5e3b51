"""``OobleckDiagonalGaussianDistribution`` against that of diffusers."""

from __future__ import annotations

import warnings

import pytest
import torch
from agreement import DTYPES, Function, check_agreement, normal, results_and_gradients
from torch import Tensor

theirs = pytest.importorskip(
    "diffusers.models.autoencoders.autoencoder_oobleck", reason="pip install diffusers"
)

import vaekern as vk  # noqa: E402 - after the skip
from vaekern.compat import OobleckDiagonalGaussianDistribution as Ours  # noqa: E402
from vaekern.compat import _warnings, oobleck, patch_diffusers  # noqa: E402

Original = theirs.OobleckDiagonalGaussianDistribution
BOTH = (Ours, Original)
SHAPE = (3, 8, 5)

pytestmark = pytest.mark.filterwarnings("ignore:kl")  # what it says is tested below


@pytest.fixture(autouse=True)
def _warn_anew() -> None:
    _warnings._said.clear()


@pytest.mark.parametrize("dtype", DTYPES)
def test_kl(dtype: torch.dtype) -> None:
    check_agreement(lambda p: Ours(p).kl(), lambda p: Original(p).kl(), [normal(*SHAPE)], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [SHAPE, (1, 8, 5)], ids=["full", "shared"])
def test_kl_to_another(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    check_agreement(
        lambda p, q: Ours(p).kl(Ours(q)),
        lambda p, q: Original(p).kl(Original(q)),
        [normal(*SHAPE), normal(*shape, seed=1)],
        dtype,
    )


def test_alternatives_that_the_warnings_name() -> None:
    """Divergences, of which the originals are twice the mean, and 2 log(var / other.var) more."""
    p, q = (Ours(normal(*SHAPE, seed=k)) for k in (0, 1))
    with pytest.warns(UserWarning, match=r"gaussian_kl\(posterior.mean, posterior.std, scale='std"):
        twice = p.kl()
    kl = vk.gaussian_kl(p.mean, p.std, scale="std")
    torch.testing.assert_close(twice, 2.0 * kl.sum() / (3 * 5))
    with pytest.warns(UserWarning, match=r"wrong sign.*other.mean, other.std, scale='std'\)"):
        wrong = p.kl(q)
    kl = vk.gaussian_kl(p.mean, p.std, q.mean, q.std, scale="std")
    excess = 2.0 * (p.logvar - q.logvar)
    torch.testing.assert_close(wrong, (2.0 * kl.sum() + excess.sum()) / (3 * 5))


def test_the_warning_comes_once() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            Ours(normal(*SHAPE)).kl()
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize("dtype", DTYPES)
def test_attributes(dtype: torch.dtype) -> None:
    of = normal(*SHAPE).to(dtype)
    for name in ("mean", "scale", "std", "var", "logvar"):
        got, like = (getattr(of_class(of), name) for of_class in BOTH)
        want = getattr(Original(of.double()), name)
        torch.testing.assert_close(got, want.to(like.dtype))
    assert torch.equal(Ours(of).mode(), Original(of).mode())
    assert Ours(of).parameters is of


@pytest.mark.parametrize("deterministic", [False, True])
def test_same_seed_same_sample(deterministic: bool) -> None:
    """Also of a deterministic one, which there has noise, too."""
    for generators in (None, 1, 3):
        found = []
        for of_class in BOTH:
            torch.manual_seed(2)
            given = generators and [torch.Generator().manual_seed(k) for k in range(generators)]
            found.append(
                results_and_gradients(
                    lambda p, c=of_class, g=given: c(p, deterministic).sample(g),
                    [normal(*SHAPE)],
                    torch.float64,
                )
            )
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b)
    got, want = (of_class(normal(*SHAPE), True).kl() for of_class in BOTH)
    assert torch.equal(got, want)


@pytest.mark.parametrize("dtype", [torch.float16, *DTYPES])
@pytest.mark.parametrize("noise", ["torch", "fused"])
def test_samples_have_the_dtype_of_the_parameters(noise: str, dtype: torch.dtype) -> None:
    parameters = normal(*SHAPE).to(dtype)
    sample = type("Drawn", (Ours,), {"noise": noise})(parameters).sample()
    assert sample.dtype is Original(parameters).sample().dtype is dtype


@pytest.mark.parametrize("dtype", [torch.float16, *DTYPES])
def test_samples_of_each_dtype(dtype: torch.dtype) -> None:
    """The same noise; there, every operation rounds."""
    eps = normal(3, 4, 5, seed=1).to(dtype)

    def sample_of(of_class: type) -> Function:
        return lambda p: of_class(p).sample()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oobleck, "randn", lambda *options: eps.to(options[-1]))
        patch.setattr(theirs, "randn_tensor", lambda *_, **options: eps.to(options["dtype"]))
        check_agreement(sample_of(Ours), sample_of(Original), [normal(*SHAPE)], dtype)


def test_fused_noise() -> None:
    parameters, samples = torch.zeros(3, 2, 10000), []
    with patch_diffusers(noise="fused"):
        for generators in (None, [torch.Generator().manual_seed(k) for k in range(3)]):
            torch.manual_seed(2)
            posterior = theirs.OobleckDiagonalGaussianDistribution(parameters)
            samples.append(posterior.sample(generators))
    assert not torch.equal(*samples)
    for sample in samples:
        assert not torch.equal(sample[0], sample[1])
        assert (sample.std() - posterior.std[0, 0, 0]).abs() < 0.03


def training_step(model: torch.nn.Module, audio: Tensor) -> tuple[type, list[Tensor]]:
    torch.manual_seed(1)
    posterior = model.encode(audio).latent_dist
    reconstruction = model.decode(posterior.sample()).sample
    loss = (audio - reconstruction).square().mean() + 1e-2 * posterior.kl()
    return type(posterior), [loss, *torch.autograd.grad(loss, list(model.parameters()))]


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`")  # diffusers uses it
def test_training_step_of_autoencoder_oobleck() -> None:
    torch.manual_seed(0)
    model = theirs.AutoencoderOobleck(
        encoder_hidden_size=4,
        downsampling_ratios=[2],
        channel_multiples=[1],
        decoder_channels=4,
        decoder_input_channels=2,
    ).double()
    audio = normal(2, 2, 16)
    _, want = training_step(model, audio)
    with patch_diffusers():
        used, got = training_step(model, audio)
    assert issubclass(used, Ours)
    assert theirs.OobleckDiagonalGaussianDistribution is Original
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)
