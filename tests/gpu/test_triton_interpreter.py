"""What stands in for parts of Triton's interpreter, where a version of it is at fault."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch
import triton_interpreter

if triton_interpreter.why_not():
    pytest.skip(triton_interpreter.why_not(), allow_module_level=True)

import triton
import triton.language as tl

triton_interpreter.backend()


def _awkward(dtype: type, rng: np.random.Generator) -> list[np.ndarray]:
    """x, y, z such that x y + z cancels, ties, or just misses a tie."""
    x, y = (rng.standard_normal(500).astype(dtype) for _ in range(2))
    far = np.exp2(rng.integers(-60, 60, 500)).astype(dtype)
    z = np.where(rng.random(500) < 0.5, -x * y, x * y * far).astype(dtype)
    steps = rng.integers(1, 8, 500) * np.finfo(dtype).eps
    ties = rng.random(500) < 0.3
    x = np.where(ties, 1.0 + steps, x).astype(dtype)
    y = np.where(ties, 1.0 + np.finfo(dtype).eps, y).astype(dtype)
    return [x, y, np.where(ties, 2.0 ** rng.integers(-3, 30, 500), z).astype(dtype)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_fma_rounds_once(dtype: type) -> None:
    numbers = _awkward(dtype, np.random.default_rng(5))
    found = triton_interpreter.fused(*numbers)
    assert found.dtype == dtype
    for got, (x, y, z) in zip(found, zip(*numbers, strict=True), strict=True):
        with mpmath.workprec(2000):
            exact = mpmath.mpf(float(x)) * mpmath.mpf(float(y)) + mpmath.mpf(float(z))
        with mpmath.workprec(np.finfo(dtype).nmant + 1):
            assert float(got) == float(+exact), (x, y, z)


@triton.jit
def _fma_of(x, y, z, out):  # type: ignore[no-untyped-def]
    tl.store(out, tl.fma(tl.load(x), tl.load(y), tl.load(z)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_so_does_that_of_kernels(dtype: torch.dtype) -> None:
    eps = torch.finfo(dtype).eps
    number = torch.tensor([1.0 + eps], dtype=dtype)
    out = torch.empty_like(number)
    _fma_of[(1,)](number, number, -number * number, out)
    assert out.item() == eps**2


def test_limits_are_those_of_plain_arithmetic() -> None:
    for dtype in (np.float32, np.float64):
        greatest = np.finfo(dtype).max
        x = np.array([np.inf, np.inf, np.nan, greatest, greatest, 0.0, -0.0], dtype)
        y = np.array([1.0, 1.0, 1.0, 2.0, 1.0, np.inf, 1.0], dtype)
        z = np.array([1.0, -np.inf, 1.0, 1.0, -greatest, 1.0, -0.0], dtype)
        with np.errstate(all="ignore"):
            found = triton_interpreter.fused(x, y, z)
        want = np.array([np.inf, np.nan, np.nan, np.inf, 0.0, np.nan, -0.0], dtype)
        np.testing.assert_array_equal(found, want)
        assert np.signbit(found[-1])


@triton.jit
def _count(steps, out):  # type: ignore[no-untyped-def]
    total = 0
    for _ in range(steps):
        total += 1
    tl.store(out, total)


def test_a_range_has_the_length_of_an_argument() -> None:
    out = torch.zeros(1, dtype=torch.int32)
    triton_interpreter.backend()
    _count[(1,)](3, out)
    assert out.item() == 3
