"""What the CUDA kernels correct after an approximation is what the compiler makes of a division and
of a root, and stays within an ulp of those however the approximation errs."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import cuda_resources
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
NVCC = shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin")
ARCHITECTURES = ("sm_80", "sm_90", "sm_100", "sm_120")
_SOURCE = """
#include "csrc/core/arithmetic.h"
#define KERNEL(name, value) extern "C" __global__ void name(float* x) { *x = value; }
KERNEL(inverse, vk::inverse_of_normal(*x))
KERNEL(inverse_of_the_compiler, 1.0f / *x)
KERNEL(root, vk::square_root_of_normal(*x))
KERNEL(root_of_the_compiler, sqrtf(*x))
"""
_FUNCTION = re.compile(r"Function : (\w+)")
_ARITHMETIC = re.compile(r"/\*[0-9a-f]{4}\*/\s+(MUFU\.\w+|FFMA|FMUL|CALL)\b")


def arithmetic(folder: Path, architecture: str, tool: str) -> dict[str, str]:
    """The instructions of the kernels above: "MUFU.RCP FFMA FFMA". (FADD changes signs there.)"""
    (folder / "kernels.cu").write_text(_SOURCE)
    result = folder / f"{architecture}.cubin"
    options = ("-std=c++20", "--fmad=false", f"-arch={architecture}", f"-I{ROOT}", "-cubin")
    assert NVCC is not None
    command = [NVCC, *options, "-o", str(result), "kernels.cu"]
    subprocess.run(command, cwd=folder, check=True)
    text = subprocess.run([tool, "-sass", str(result)], check=True, capture_output=True, text=True)
    _, *parts = _FUNCTION.split(text.stdout)
    return {
        name: " ".join(_ARITHMETIC.findall(code))
        for name, code in zip(parts[::2], parts[1::2], strict=True)
    }


@pytest.mark.exhaustive
@pytest.mark.skipif(NVCC is None or cuda_resources.tool() is None, reason="needs nvcc, cuobjdump")
def test_corrections_are_those_of_the_compiler(tmp_path: Path) -> None:
    tool = cuda_resources.tool()
    assert tool is not None
    for architecture in ARCHITECTURES:
        found = arithmetic(tmp_path, architecture, tool)
        assert found["inverse"] == "MUFU.RCP FFMA FFMA"
        assert found["root"] == "MUFU.RSQ FMUL FMUL FFMA FFMA"
        for name in ("inverse", "root"):
            assert found[name] in found[f"{name}_of_the_compiler"].replace("CALL ", "")


def fma(a: np.ndarray, b: np.ndarray, c: np.ndarray | float) -> np.ndarray:
    product = a.astype(np.float64) * b.astype(np.float64)  # exact
    return (product + np.asarray(c, np.float64)).astype(np.float32)


def ulps(got: np.ndarray, want: np.ndarray) -> float:
    return float((np.abs(got - want) / np.spacing(want.astype(np.float32))).max())


def floats(first: int, last: int, step: int) -> np.ndarray:
    return np.arange(first, last, step, dtype=np.uint32).view(np.float32)


@pytest.fixture(params=[97, pytest.param(1, marks=pytest.mark.exhaustive)])
def step(request: pytest.FixtureRequest) -> int:
    return int(request.param)


#: Documented are 1 ulp for rcp.approx, and 2^-22.9 for rsqrt.approx.
@pytest.mark.parametrize("off", range(-2, 3))
def test_an_inverse_is_right_whatever_the_approximation_says(step: int, off: int) -> None:
    x = floats(0x3F800000, 0x40000001, step)  # 1 to 2, as the Bernoulli's gradient has them
    exact = 1.0 / x.astype(np.float64)
    near = (exact.astype(np.float32).view(np.int32) + off).view(np.float32)
    got = fma(near, fma(-x, near, 1.0), near)
    assert ulps(got, exact) <= 0.51
    assert ulps(near, exact) > 0.9 or off == 0  # the correction is needed


@pytest.mark.parametrize("off", range(-3, 4))
def test_a_root_is_right_whatever_the_approximation_says(step: int, off: int) -> None:
    x = floats(0x3F800000, 0x40800000, step)  # 1 to 4: all mantissas, odd and even exponents
    exact = np.sqrt(x.astype(np.float64))
    inverse = ((1.0 / exact).astype(np.float32).view(np.int32) + off).view(np.float32)
    near = x * inverse
    got = fma(fma(-near, near, x), np.float32(0.5) * inverse, near)
    assert ulps(got, exact) <= 0.51
    assert ulps(near, exact) > 0.9
