"""Triton's own compiler takes every launch that the library makes: see ``triton_jit.py``.

By default every other operation is compiled in a dtype and a shape that change from one to the
next, a kernel in nine of the list for more than 2^31 elements, and a third of the ways in which
kernels over rows of logits have their operands: up to Triton's own language, where types, names and
what is compiled in matter. A few go on to machine code. The exhaustive run takes all shapes and
kernels, in every other dtype by turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from operations.case import Case, label_of
from operations.every import ONE_PER_OP
from sampling import one_in
from triton_jit import CUBIN, TTIR, Compiler, Outcome

from vaekern._backends import native
from vaekern._backends.choice import why_no_triton
from vaekern._backends.launch import SoftmaxKernel

ARCHITECTURES = (80, 90)
#: Of ``triton_jit_launches.py``.
SHAPES = (
    "rows", "not_by_16", "column", "vector", "one_element", "misaligned", "transposed", "image",
    "long_rows", "many_rows",
)  # fmt: skip
DTYPES = ("float32", "bfloat16", "float16", "float64", "mixed")
#: Of ``triton_jit_rows.py``: kernels over rows of logits with what a call of them may have, any two
#: of it in all their ways, and numbers of classes.
WAYS = (
    "KL", "KL-prior-mask", "KL-prior-unimix", "KL-mask-unimix",
    "KL_VJP", "KL_VJP-prior-mask", "KL_VJP-prior-unimix", "KL_VJP-prior-detached",
    "KL_VJP-mask-unimix", "KL_VJP-mask-detached", "KL_VJP-unimix-detached",
    "KL_VJP-prior-mask-unimix-detached",
    "SAMPLE", "SAMPLE-seed", "SAMPLE-unimix", "SAMPLE-seed-unimix",
    "SAMPLE_VJP", "SAMPLE_VJP-unimix",
    "RELAXED", "RELAXED-seed", "RELAXED-temperatures", "RELAXED-seed-temperatures",
    "RELAXED_HARD", "RELAXED_HARD-seed", "RELAXED_HARD-temperatures",
    "RELAXED_HARD-seed-temperatures",
    "RELAXED_VJP", "RELAXED_VJP-seed-temperatures", "RELAXED_VJP-seed-sums",
    "RELAXED_VJP-temperatures-sums",
)  # fmt: skip
CLASSES = (
    "one_class", "three_classes", "by_16", "long_rows", "not_by_16", "one_row", "misaligned",
    "more_than_32_bits",
)  # fmt: skip
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


def _launches(what: Sequence[Any], shapes: Sequence[str], step: int) -> Iterator[Any]:
    """Of each ``step``-th, a shape and a dtype for an architecture; in the exhaustive run of each
    every shape, in every third dtype by turns."""
    for n, each in enumerate(what):
        for k, dtype in enumerate(DTYPES):
            for m, shape in enumerate(shapes):
                own = k == n % len(DTYPES) and m == 3 * n % len(shapes)
                if own or (n + k + m) % 3 == 0:
                    arch = ARCHITECTURES[(n + k // 2 + m // 2) % 2]
                    marks = () if own and n % step == 0 else pytest.mark.exhaustive
                    yield pytest.param(each, shape, dtype, arch, marks=marks)


def _id(value: Any) -> str:
    return label_of(value) if isinstance(value, Case) else str(value)


@pytest.mark.parametrize(
    ("case", "shape", "dtype", "arch"), list(_launches(ONE_PER_OP, SHAPES, 2)), ids=_id
)
def test_cases(case: Case, shape: str, dtype: str, arch: int, compiler: Compiler) -> None:
    """Values and gradients."""
    _compiles(compiler("case", arch, TTIR, case.label, shape, dtype))


def test_the_shapes_are_those_that_are_launched(compiler: Compiler) -> None:
    outcome = compiler("expect_shapes", 90, TTIR, list(SHAPES), list(DTYPES))
    assert not outcome.error, outcome.error


@pytest.mark.parametrize(
    "number", one_in(9, range(len(KERNELS))), ids=lambda n: "-".join(KERNELS[n])
)
def test_more_than_32_bits_of_elements(number: int, compiler: Compiler) -> None:
    """Kernels of the list, on tensors without memory; sums in several stages."""
    shape = ("long", "many")[number % 2]
    dtype = DTYPES[number % 4]
    outcome = compiler("wide", ARCHITECTURES[number % 2], TTIR, *KERNELS[number], shape, dtype)
    _compiles(outcome)


@pytest.mark.parametrize(("way", "shape", "dtype", "arch"), list(_launches(WAYS, CLASSES, 3)))
def test_rows_of_logits(way: str, shape: str, dtype: str, arch: int, compiler: Compiler) -> None:
    _compiles(compiler("triton_jit_rows.rows", arch, TTIR, way, shape, dtype))


def test_the_ways_are_those_of_every_kernel_of_rows(compiler: Compiler) -> None:
    outcome = compiler("triton_jit_rows.expect_ways", 90, TTIR, list(WAYS), list(CLASSES))
    assert not outcome.error, outcome.error


@pytest.mark.parametrize("dtypes", ["float32-uint8", "bfloat16-float32", "float64-uint8"])
@pytest.mark.parametrize(
    "sizes", one_in(2, [(2, 5, 1), (2, 1, 16), (3, 10, 1000), (1, 1, 1)]), ids=str
)
def test_mixtures(dtypes: str, sizes: tuple[int, int, int], compiler: Compiler) -> None:
    _compiles(compiler("mixture", 90, TTIR, *dtypes.split("-"), *sizes))


@pytest.mark.parametrize("n", [1, 1000, 1024, 2**32 + 1])
@pytest.mark.parametrize("dtype", DTYPES[:4])
def test_scaling(dtype: str, n: int, compiler: Compiler) -> None:
    _compiles(compiler("scale", 90, TTIR, dtype, n))


# --- machine code ---------------------------------------------------------------------------------

_OF_MACHINE_CODE = ONE_PER_OP[::7]
_FEWER = 6  # in the default run


def _machine_code() -> Iterator[Any]:
    """By turns on one architecture and the other. (The exhaustive run takes both.)"""
    for n, case in enumerate(_OF_MACHINE_CODE):
        for m, arch in enumerate(ARCHITECTURES):
            yield pytest.param(case, arch, marks=() if n % _FEWER == m else pytest.mark.exhaustive)


@pytest.mark.parametrize(("case", "arch"), list(_machine_code()), ids=_id)
def test_machine_code(case: Case, arch: int, compiler: Compiler) -> None:
    assert _compiles(compiler("case", arch, CUBIN, case.label, "rows", "float32")).compiled


@pytest.mark.exhaustive
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_machine_code_of_a_mixture(arch: int, compiler: Compiler) -> None:
    assert _compiles(compiler("mixture", arch, CUBIN, "float32", "uint8", 2, 5, 16)).compiled


def _machine_code_of_rows() -> Iterator[Any]:
    """The way of the longest name, on one architecture. (The exhaustive run takes both.)"""
    for n, kernel in enumerate(SoftmaxKernel):
        way = max((way for way in WAYS if way.split("-")[0] == kernel.name), key=len)
        for m, arch in enumerate(ARCHITECTURES):
            marks = () if n % _FEWER == m else pytest.mark.exhaustive
            yield pytest.param(way, DTYPES[n % 4], arch, marks=marks)


@pytest.mark.parametrize(("way", "dtype", "arch"), list(_machine_code_of_rows()))
def test_machine_code_of_rows_of_logits(
    way: str, dtype: str, arch: int, compiler: Compiler
) -> None:
    outcome = compiler("triton_jit_rows.rows", arch, CUBIN, way, "by_16", dtype)
    assert _compiles(outcome).compiled


# --- how much is compiled -------------------------------------------------------------------------


#: The last, smaller one of an epoch, and any other.
OTHER_SIZES = [37, 64, 48, 100, 3, 17, 200, 2, 129]


@pytest.mark.parametrize("sizes", one_in(3, [(784, 20), (10, 3), (50, 16)]), ids=str)
def test_batches_of_other_sizes_compile_nothing(sizes: tuple[int, int], compiler: Compiler) -> None:
    pixels, latents = sizes
    assert _compiles(compiler("training", 90, TTIR, pixels, latents, [64, 64])).compiled
    outcome = compiler("training", 90, TTIR, pixels, latents, OTHER_SIZES)
    assert not _compiles(outcome).compiled


@pytest.mark.parametrize("sizes", one_in(4, [(32, 32), (10, 3), (7, 10), (3, 1)]), ids=str)
def test_nor_do_those_of_categorical_latents(sizes: tuple[int, int], compiler: Compiler) -> None:
    variables, classes = sizes
    train = "triton_jit_rows.training"
    assert _compiles(compiler(train, 90, TTIR, variables, classes, [64, 64])).compiled
    outcome = compiler(train, 90, TTIR, variables, classes, OTHER_SIZES)
    assert not _compiles(outcome).compiled
