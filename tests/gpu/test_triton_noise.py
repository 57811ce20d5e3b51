"""The noise of the Triton kernels, in Triton's interpreter, against that of the CPU."""

from __future__ import annotations

import pytest
import torch
import triton_interpreter
from philox_answers import KNOWN_ANSWERS, signed
from torch import Tensor

import vaekern as vk
from vaekern import _core
from vaekern._backends import choice

if triton_interpreter.why_not():
    pytest.skip(triton_interpreter.why_not(), allow_module_level=True)

import triton
import triton.language as tl

from vaekern._backends.triton.philox import philox


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(choice.emulated, "triton", triton_interpreter.backend())


@triton.jit
def _store_words(out, seed, first, N: tl.constexpr):  # type: ignore[no-untyped-def]  # noqa: N803
    counter = tl.load(first) + tl.arange(0, N)[None, :]
    words = philox(counter, seed)
    for k in tl.static_range(4):
        tl.store(out + 4 * tl.arange(0, N)[None, :] + k, words[k].to(tl.int64))


def _words(first: int, n: int, seed: int, stream: int) -> list[int]:
    out = torch.empty(4 * n, dtype=torch.int64)
    _store_words[(1,)](out, torch.tensor([seed, stream]), torch.tensor([first]), N=n)
    return out.tolist()


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN_ANSWERS)
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], words: tuple[int, ...]
) -> None:
    first, stream, seed = signed(*counter[:2]), signed(*counter[2:]), signed(*key)
    assert tuple(_words(first, 1, seed, stream)) == words


@pytest.mark.parametrize("first", [0, 2**32 - 30, 2**40 + 5])
def test_words_are_those_of_the_cpu(first: int) -> None:
    key = -123456789012345, 987654321098
    assert _words(first, 64, *key) == _core.philox_words(first, 64, *key)


def _normals(shape: tuple[int, ...], dtype: torch.dtype, row_dims: int, backend: str) -> Tensor:
    zeros = torch.zeros(shape, dtype=dtype)
    seed = torch.tensor([-5, 2**40 + 3])
    with vk.backend(backend):
        return vk.reparameterize(zeros, zeros, seed=seed, batch_dims=row_dims)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(1,), (3, 1), (5, 3), (7, 20), (2, 1030), (4099,), (4100,)])
def test_normals_are_those_of_the_cpu(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """To 4 ulp, of 2^-20 at least; whole quads and single elements."""
    got = _normals(shape, dtype, 1, "triton")
    want = _normals(shape, dtype, 1, "cpu")
    ulp = torch.finfo(dtype).eps * torch.exp2(torch.floor(torch.log2(want.abs().clamp(2.0**-20))))
    assert ((got - want).abs() <= 4 * ulp).all()


@pytest.mark.parametrize("cols", [44, 45])
def test_noise_does_not_depend_on_what_else_is_computed(cols: int) -> None:
    """The sums of a kl cut the elements into other tiles than a sample alone."""
    mu, logvar, seed = torch.randn(30, cols), torch.randn(30, cols), torch.tensor([1, 2])
    with vk.backend("triton"):
        alone = vk.reparameterize(mu, logvar, seed=seed)
        together, _ = vk.sample_with_kl(mu, logvar, seed=seed)
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)
