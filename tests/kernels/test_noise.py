"""The noise: Philox's known answers, the layout, the statistics, and where seeds come from."""

from __future__ import annotations

import math

import backends
import cuda_emulation
import numpy as np
import pytest
import scipy.stats
import torch
from compare import leaves
from operations.case import Case, label_of
from operations.every import CASES
from philox_answers import KNOWN_ANSWERS, signed
from torch import Tensor

import vaekern as vk
from vaekern._backends import native, plain

#: Half the logarithm's error (2) and half an ulp for the square root, 2 for the sine, half for the
#: product. The angle's quadrant is exact, so sines near 0 keep their digits; only below ULP_FLOOR,
#: where the float64 reference's own pi shows, is an error counted in ulps of that size.
ULPS = 5
ULP_FLOOR = 2.0**-40

#: One draw decides whether these hold, and the seed is fixed: thresholds are those of a 1e-4
#: two-sided test, and would have caught a bias of the size beside them.
N = 2**22
SIGMAS = 3.89


def normals(
    shape: tuple[int, ...],
    seed: int | Tensor,
    dtype: torch.dtype = torch.float32,
    backend: str | None = None,
) -> Tensor:
    """From the CPU's kernels, or from a backend on the device under test."""
    if backend is None:
        zeros = torch.zeros(shape, dtype=dtype)
        return vk.reparameterize(zeros, zeros, seed=seed, batch_dims=0)
    zeros = torch.zeros(shape, dtype=dtype, device=backends.device)
    if isinstance(seed, Tensor):
        seed = seed.to(backends.device)
    with vk.backend(backend):
        return vk.reparameterize(zeros, zeros, seed=seed, batch_dims=0).cpu()


def largest_error_in_ulps(got: Tensor, want: Tensor) -> float:
    size = want.abs().clamp(min=ULP_FLOOR)
    ulp = torch.exp2(torch.floor(torch.log2(size)) - 23)
    return ((got.double() - want).abs() / ulp).max().item()


@pytest.fixture(scope="module")
def sample() -> np.ndarray:
    return normals((N,), 7).numpy().astype(np.float64)


# --- integers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_known_answers_of_the_kernels(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...], isa: str
) -> None:
    assert native.core is not None
    first, stream, seed = signed(*counter[:2]), signed(*counter[2:]), signed(*key)
    assert tuple(native.core.philox_words(first, 1, seed, stream)) == words


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_known_answers_of_the_reference(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    first = torch.tensor([signed(*counter[:2])])
    seed = torch.tensor([signed(*key), signed(*counter[2:])])
    assert tuple(int(w) for w in plain.philox(first, seed)) == words


@pytest.mark.parametrize("first", [0, 1, 63, 2**32 - 70, 2**40 + 5])
def test_blocks_of_words_are_those_of_the_reference(first: int, isa: str) -> None:
    """Vector lanes, blocks and carries into the counter's second word."""
    assert native.core is not None
    n, seed, stream = 200, -123456789012345, 987654321098
    got = torch.tensor(native.core.philox_words(first, n, seed, stream)).view(n, 4)
    want = plain.philox(torch.arange(first, first + n), torch.tensor([seed, stream]))
    assert torch.equal(got, torch.stack(want, dim=1))


@pytest.mark.parametrize("first", [0, 1, 127, 2**32 - 70, 2**40 + 5])
def test_the_cuda_kernels_words_are_those_of_the_cpu(first: int) -> None:
    """(Those of the Triton kernels: test_triton_noise.py.)"""
    if cuda_emulation.why_not():
        pytest.skip(cuda_emulation.why_not())
    assert native.core is not None
    at = first, 301, -123456789012345, 987654321098
    assert cuda_emulation.engine().philox_words(*at) == native.core.philox_words(*at)


# --- normals ------------------------------------------------------------------------------------


def test_normals_are_accurate(isa: str) -> None:
    want = normals((N,), 3, torch.float64)
    assert largest_error_in_ulps(normals((N,), 3), want) <= ULPS


@pytest.mark.parametrize("seed", [[3, 0], [-(2**63), 2**63 - 1], [2**40 + 1, -5]], ids=str)
@pytest.mark.parametrize(
    "shape", [(1,), (3,), (1021,), (7, 611), (5, 13, 31), (6, 64), (3, 1028)], ids=str
)
def test_every_backend_has_the_same_noise(
    shape: tuple[int, ...], seed: list[int], backend: str
) -> None:
    """As the reference's, and as the CPU's kernels': in sizes that are no multiple of anything, and
    in rows of whole counters."""
    key = torch.tensor(seed)
    got = normals(shape, key, backend=backend)
    assert largest_error_in_ulps(got, plain.normal(key, got.shape, torch.float64)) <= ULPS
    assert largest_error_in_ulps(got, normals(shape, key).double()) <= 4
    wide = normals(shape, key, torch.float64, backend)
    assert torch.allclose(wide, normals(shape, key, torch.float64), rtol=1e-14, atol=1e-15)


def test_noise_depends_on_the_index_alone_on_every_backend(backend: str) -> None:
    longest = normals((3001,), 5, backend=backend)
    for n in (1, 2, 5, 1023, 1025, 2999):
        assert torch.equal(normals((n,), 5, backend=backend), longest[:n])
    for shape in ((3001, 1), (1, 3001), (750, 4), (2, 1500)):
        numel = math.prod(shape)
        assert torch.equal(normals(shape, 5, backend=backend).flatten(), longest[:numel])
    assert torch.equal(normals((13, 230), 5, backend=backend).flatten(), longest[: 13 * 230])


def test_double_normals_are_those_of_the_reference(isa: str) -> None:
    seed = torch.tensor([11, 12])
    got = normals((1001,), seed, torch.float64)
    want = plain.normal(seed, torch.Size([1001]), torch.float64)
    assert torch.allclose(got, want, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_element_depends_on_its_index_alone(dtype: torch.dtype, isa: str) -> None:
    """Not on how many there are (tails of vectors, blocks and tiles) nor on the shape."""
    longest = normals((5000,), 5, dtype)
    for n in (1, 2, 3, 4, 5, 7, 255, 256, 257, 1023, 1024, 1025, 2500, 4999):
        assert torch.equal(normals((n,), 5, dtype), longest[:n])
    for shape in ((50, 100), (5000, 1), (1, 5000), (1250, 4), (2, 2, 1250), (1000, 5)):
        assert torch.equal(normals(shape, 5, dtype).flatten(), longest)


def test_batch_dims_do_not_change_the_noise() -> None:
    mu, logvar = torch.zeros(6, 7, 5), torch.zeros(6, 7, 5)
    samples = [vk.reparameterize(mu, logvar, seed=9, batch_dims=d) for d in range(4)]
    assert all(torch.equal(samples[0], other) for other in samples[1:])


def test_element_i_reads_counter_i_over_4() -> None:
    """Words 0 and 1 of a counter give its normals 0 and 1, words 2 and 3 the others."""
    assert native.core is not None
    words = np.array(native.core.philox_words(0, 25, 42, 0), dtype=np.float64).reshape(-1, 2)
    radius = np.sqrt(-2.0 * np.log((words[:, 0] + 0.5) / 2**32))
    angle = 2.0 * math.pi * words[:, 1] / 2**32
    want = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()
    np.testing.assert_allclose(normals((100,), 42, torch.float64), want, rtol=1e-12, atol=1e-14)


# --- statistics ---------------------------------------------------------------------------------


def test_moments(sample: np.ndarray) -> None:
    """Mean, variance, skewness and excess kurtosis (biases from 0.002, 0.003, 0.005, 0.01)."""
    z = {
        "mean": sample.mean() * math.sqrt(N),
        "variance": (sample.var() - 1.0) * math.sqrt(N / 2),
        "skewness": scipy.stats.skew(sample) * math.sqrt(N / 6),
        "kurtosis": scipy.stats.kurtosis(sample) * math.sqrt(N / 24),
    }
    assert max(map(abs, z.values())) < SIGMAS, z


@pytest.mark.parametrize("word", [None, 0, 1, 2, 3])
def test_distribution(sample: np.ndarray, word: int | None) -> None:
    """Kolmogorov-Smirnov, for all and for each of a counter's four normals."""
    chosen = sample if word is None else sample[word::4]
    assert scipy.stats.kstest(chosen, "norm").pvalue > 1e-4


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 5, 8, 16, 64, 256, 1024])
def test_no_correlation_between_elements(sample: np.ndarray, lag: int) -> None:
    """Of the numbers (bias from 0.002), and of their sizes, which Box-Muller pairs share."""
    for values in (sample, sample**2 - 1.0):
        product = values[:-lag] * values[lag:]
        z = product.mean() / (values.var() / math.sqrt(len(product)))
        assert abs(z) < SIGMAS


@pytest.mark.parametrize("sigmas", [4.0, 5.0])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_tails(sample: np.ndarray, sigmas: float, sign: float) -> None:
    count = int((sign * sample > sigmas).sum())
    expected = N * scipy.stats.norm.sf(sigmas)
    assert scipy.stats.poisson.cdf(count, expected) > 5e-5
    assert scipy.stats.poisson.sf(count - 1, expected) > 5e-5


def test_seeds_and_streams_are_independent() -> None:
    """Also where they differ in one bit, or are exchanged."""
    n = 2**18
    base = normals((n,), torch.tensor([1, 0])).double()
    for seed in ([2, 0], [1, 1], [0, 1], [1 + 2**40, 0], [1, 2**40], [-1, 0]):
        other = normals((n,), torch.tensor(seed)).double()
        assert abs((base * other).mean().item()) * math.sqrt(n) < SIGMAS


# --- seeds --------------------------------------------------------------------------------------


def test_ways_to_give_a_seed() -> None:
    want = normals((9,), torch.tensor([5, 0]))
    for seed in (5, torch.tensor(5), torch.tensor([5])):
        assert torch.equal(normals((9,), seed), want)
    assert not torch.equal(normals((9,), torch.tensor([5, 1])), want)
    assert torch.equal(normals((9,), 2**64 - 1), normals((9,), torch.tensor(-1)))


def test_torch_manual_seed_repeats_and_calls_differ() -> None:
    mu = torch.zeros(100)
    torch.manual_seed(1)
    first, second = (vk.reparameterize(mu, mu) for _ in range(2))
    torch.manual_seed(1)
    again, _ = vk.sample_with_kl(mu, mu)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_a_generator_is_honoured_and_leaves_the_default_one_alone() -> None:
    mu = torch.zeros(100)
    before = torch.get_rng_state()
    first, second, third = (
        vk.reparameterize(mu, mu, generator=torch.Generator().manual_seed(s)) for s in (3, 3, 4)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_given_seed_or_eps_draws_nothing() -> None:
    mu = torch.zeros(100)
    before = torch.get_rng_state()
    vk.reparameterize(mu, mu, seed=1)
    vk.reparameterize(mu, mu, eps=mu)
    assert torch.equal(torch.get_rng_state(), before)


NORMAL = [case for case in CASES if case.seeded and case.scale]


@pytest.mark.table("kernel", "backend")
@pytest.mark.parametrize("case", NORMAL, ids=label_of)
def test_the_backward_regenerates_the_noise_of_the_forward(case: Case, backend: str) -> None:
    """z's derivative with respect to the spread is its noise times a function of the spread: with
    means of 0 that is z itself over the deviation, times the derivative of the deviation."""
    tensors = leaves(case.make((3, 701)))
    tensors[0].detach().zero_()
    with vk.backend(backend):
        z = case(*tensors)[0]
    (gradient,) = torch.autograd.grad(z.sum(), tensors[1])
    spread = tensors[1].detach()
    factor = {"logvar": 0.5, "log_std": 1.0, "std": 1.0 / spread}[case.scale]
    torch.testing.assert_close(gradient, z.detach() * factor, rtol=1e-6, atol=0.0)
