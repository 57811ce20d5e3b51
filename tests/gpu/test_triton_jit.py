"""Triton's own compiler takes every launch that the library makes: see ``triton_jit.py``.

By default each operation is compiled in every dtype, in a shape that changes from one to the next,
and every kernel of the list for more than 2^31 elements: up to Triton's own language, where types,
names and what is compiled in matter. A few go on to machine code. The exhaustive run takes every
shape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from operations.case import Case, label_of
from operations.every import ONE_PER_OP
from sampling import one_in
from triton_jit import CUBIN, TTIR, Compiler, Outcome

from vaekern._backends import native
from vaekern._backends.choice import why_no_triton

ARCHITECTURES = (80, 90)
#: Of ``triton_jit_launches.py``.
SHAPES = (
    "rows", "not_by_16", "column", "vector", "one_element", "misaligned", "transposed", "image",
    "long_rows", "many_rows",
)  # fmt: skip
DTYPES = ("float32", "bfloat16", "float16", "float64", "mixed")
#: Log-variances stand for logarithms of deviations, too.
KERNELS = [kernel for kernel in native.KERNELS if kernel[1] != "log_std"]

_missing = why_no_triton() or ("" if native.core is not None else "needs the extension")
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)


@pytest.fixture(scope="module")
def compiler(record_testsuite_property: Callable[[str, object], None]) -> Iterator[Compiler]:
    found = Compiler()
    yield found
    found.close()
    record_testsuite_property("launched", found.launched)
    record_testsuite_property("compiled", found.compiled)


def _compiles(outcome: Outcome) -> Outcome:
    assert not outcome.error, outcome.error
    assert outcome.launched
    return outcome


def _launches() -> Iterator[Any]:
    """Cases in a shape and a dtype, for an architecture. All shapes are exhaustive; each case has
    one of its own in each dtype without."""
    for n, case in enumerate(ONE_PER_OP):
        for k, dtype in enumerate(DTYPES):
            for m, shape in enumerate(SHAPES):
                own = m == (3 * n + 2 * k) % len(SHAPES)
                marks = () if own else pytest.mark.exhaustive
                yield pytest.param(case, shape, dtype, ARCHITECTURES[(n + k + m) % 2], marks=marks)


def _id(value: Any) -> str:
    return label_of(value) if isinstance(value, Case) else str(value)


@pytest.mark.parametrize(("case", "shape", "dtype", "arch"), list(_launches()), ids=_id)
def test_cases(case: Case, shape: str, dtype: str, arch: int, compiler: Compiler) -> None:
    """Values and gradients."""
    _compiles(compiler("case", arch, TTIR, case.label, shape, dtype))


def test_the_shapes_are_those_that_are_launched(compiler: Compiler) -> None:
    assert not compiler("expect_shapes", 90, TTIR, list(SHAPES), list(DTYPES)).error


@pytest.mark.parametrize("number", range(len(KERNELS)), ids=lambda n: "-".join(KERNELS[n]))
def test_more_than_32_bits_of_elements(number: int, compiler: Compiler) -> None:
    """Every kernel of the list, on tensors without memory; sums in several stages."""
    shape = ("long", "many")[number % 2]
    dtype = DTYPES[number % 4]
    outcome = compiler("wide", ARCHITECTURES[number % 2], TTIR, *KERNELS[number], shape, dtype)
    _compiles(outcome)


@pytest.mark.parametrize("dtypes", ["float32-uint8", "bfloat16-float32", "float64-uint8"])
@pytest.mark.parametrize("sizes", [(2, 1, 16), (2, 5, 1), (1, 1, 1), (3, 10, 1000)], ids=str)
def test_mixtures(dtypes: str, sizes: tuple[int, int, int], compiler: Compiler) -> None:
    _compiles(compiler("mixture", 90, TTIR, *dtypes.split("-"), *sizes))


@pytest.mark.parametrize("n", [1, 1000, 1024, 2**32 + 1])
@pytest.mark.parametrize("dtype", DTYPES[:4])
def test_scaling(dtype: str, n: int, compiler: Compiler) -> None:
    _compiles(compiler("scale", 90, TTIR, dtype, n))


# --- machine code ---------------------------------------------------------------------------------

_OF_MACHINE_CODE = ONE_PER_OP[::7]


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("case", _OF_MACHINE_CODE, ids=label_of)
def test_machine_code(case: Case, arch: int, compiler: Compiler) -> None:
    _compiles(compiler("case", arch, CUBIN, case.label, "rows", "float32"))


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_machine_code_of_a_mixture(arch: int, compiler: Compiler) -> None:
    _compiles(compiler("mixture", arch, CUBIN, "float32", "uint8", 2, 5, 16))


# --- how much is compiled -------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", one_in(3, [(784, 20), (10, 3), (50, 16)]), ids=str)
def test_batches_of_other_sizes_compile_nothing(sizes: tuple[int, int], compiler: Compiler) -> None:
    """Neither the last, smaller one of an epoch nor any other does. Sizes: pixels and latents."""
    pixels, latents = sizes
    assert _compiles(compiler("training", 90, TTIR, pixels, latents, [64, 64])).compiled
    outcome = compiler("training", 90, TTIR, pixels, latents, [37, 64, 48, 100, 3, 17, 200, 2, 129])
    assert not _compiles(outcome).compiled
