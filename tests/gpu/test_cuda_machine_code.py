"""The CUDA kernels ask for nothing that the numerics page does not name, and fuse nothing that the
sources do not. None of this needs a GPU."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import cuda_emulation as emulation
import cuda_machine_code as code
import cuda_resources
import pytest
from cuda_machine_code import ARCHITECTURE, Instructions

from vaekern._backends import native

NUMERICS = Path(__file__).parents[2] / "docs" / "numerics.md"
_NVCC = shutil.which("nvcc", path=None) or shutil.which("nvcc", path="/usr/local/cuda/bin")

pytestmark = pytest.mark.exhaustive  # reading, and compiling, machine code takes long
compiled = pytest.mark.skipif(
    native.cuda is None or cuda_resources.tool() is None, reason="needs CUDA kernels and cuobjdump"
)


@pytest.fixture(scope="module")
def measured() -> dict[str, Instructions]:
    tool = cuda_resources.tool()
    assert tool is not None
    return code.measure(tool, Path(native.core.__file__))


@pytest.fixture(scope="module")
def ptx(measured: dict[str, Instructions]) -> Instructions:
    for name, kernels in measured.items():
        if name.startswith("ptx"):
            return kernels
    pytest.skip("compiled without PTX")


@pytest.fixture(scope="module")
def sass(measured: dict[str, Instructions]) -> Instructions:
    if ARCHITECTURE not in measured:
        pytest.skip(f"not compiled for {ARCHITECTURE}")
    return measured[ARCHITECTURE]


def approximate(instructions: Counter[str]) -> set[str]:
    """Those of PTX, and of machine code."""
    return {name for name in instructions if re.search(r"approx|ftz|^MUFU", name)}


def in_double(kernel: str) -> bool:
    return kernel.endswith("double")


@compiled
def test_every_operation_is_rounded_to_nearest(ptx: Instructions) -> None:
    found = {kernel: list(code.unrounded(instructions)) for kernel, instructions in ptx.items()}
    assert {kernel: names for kernel, names in found.items() if names} == {}


#: Where an operand is known to be normal, and then as the compiler does (test_corrected.py).
CORRECTED = {"rcp.approx.ftz.f32", "rsqrt.approx.ftz.f32"}


@compiled
def test_float_kernels_ask_for_nothing_approximate_that_stays_so(ptx: Instructions) -> None:
    found = {kernel: approximate(ptx[kernel]) for kernel in ptx if not in_double(kernel)}
    assert {kernel: names for kernel, names in found.items() if names - CORRECTED} == {}
    assert set().union(*found.values()) >= CORRECTED


@compiled
def test_what_is_approximate_is_named(ptx: Instructions, sass: Instructions) -> None:
    page = NUMERICS.read_text()
    names = set[str]().union(*map(approximate, ptx.values()), *map(approximate, sass.values()))
    assert names
    assert {name for name in names if f"`{name}`" not in page} == set()


@compiled
def test_instructions_are_those_of_the_table(measured: dict[str, Instructions]) -> None:
    table = code.read(native.cuda["version"])
    if not table:
        pytest.skip("the table is of another CUDA version")
    found = code.listed(measured)
    both = {name for _, name in table} & {name for _, name in found}
    if not both:
        pytest.skip("the table is of other code")
    got, want = ({k: s for k, s in listed.items() if k[1] in both} for listed in (found, table))
    assert got == want, "as intended? python tests/gpu/cuda_machine_code.py rewrites the table"


# --- sources against PTX --------------------------------------------------------------------------

#: A short one that has noise in it, too.
OPERATION = "visit(Reparameterize<Log>{}, Log<float>::name);"


def compile_to_ptx(sources: emulation.Sources, folder: Path, *flags: str) -> Instructions:
    for path, text in sources.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    defined = ("-DVK_TARGET=gpu", "-DVK_CUDA_PARTS=1", "-DVK_CUDA_PART=0")
    options = ("-std=c++20", *flags, *defined, f"-arch={ARCHITECTURE}", "-ptx", "-o", "out.ptx")
    assert _NVCC is not None
    command = [_NVCC, *options, "csrc/cuda/kernels.cu"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    (kernels,) = code.of_ptx((folder / "out.ptx").read_text()).values()
    return kernels


def fused(kernels: Instructions) -> int:
    """In kernels that compute in float: those in double call CUDA's library, which fuses."""
    return sum(
        count
        for kernel, instructions in kernels.items()
        if not in_double(kernel)
        for name, count in instructions.items()
        if name.startswith(("fma.", "mad.f"))
    )


@pytest.fixture(scope="module")
def few() -> emulation.Sources:
    sources = emulation.read_sources()
    text, n = re.subn(
        r"(void for_each_op\(Visit visit\) \{).*?(?=\n\})",
        rf"\1 {OPERATION}",
        sources["csrc/ops.h"],
        flags=re.DOTALL,
    )
    assert n == 1
    return {**sources, "csrc/ops.h": text}


@pytest.fixture(scope="module")
def without_fma(few: emulation.Sources) -> emulation.Sources:
    """The sources with every fused multiply-add written as two operations."""
    path = "csrc/core/arithmetic.h"
    unfused = emulation.edited(few, path, "|| defined(__CUDA_ARCH__) ||", "||")
    return emulation.edited(unfused, path, "return std::fma(a, b, c);", "return a * b + c;")


@pytest.mark.skipif(_NVCC is None, reason="needs nvcc")
def test_nothing_is_fused_that_the_sources_do_not_fuse(
    few: emulation.Sources, without_fma: emulation.Sources, tmp_path: Path
) -> None:
    assert fused(compile_to_ptx(few, tmp_path / "as written", "--fmad=false")) > 100
    assert fused(compile_to_ptx(without_fma, tmp_path / "without", "--fmad=false")) == 0
    assert fused(compile_to_ptx(without_fma, tmp_path / "free", "--fmad=true")) > 100


def test_the_build_forbids_it() -> None:
    assert "--fmad=false" in (NUMERICS.parents[1] / "csrc/cuda/cuda.cmake").read_text()


def test_arithmetic_without_rounding_is_noticed() -> None:
    text = """
.target sm_90
.visible .entry _ZN2vk3gpu12scale_kernelENS_4cuda7ScalingE(
	add.f32 	%f1, %f2, %f3;
	@%p1 mul.rn.f32 	%f1, %f2, %f3;
	fma.rn.ftz.f32 	%f1, %f2, %f3, %f4;
	mul.wide.s32 	%rd1, %r1, 4;
	sqrt.approx.f32 %f1, %f2;
"""
    (instructions,) = code.of_ptx(text)["ptx sm_90"].values()
    assert set(code.unrounded(instructions)) == {"add.f32"}
    assert approximate(instructions) == {"fma.rn.ftz.f32", "sqrt.approx.f32"}
