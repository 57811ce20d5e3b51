"""Launches that are prepared by the layout of their tensors are those that Triton makes of the same
arguments. The driver that stands in for CUDA's tells (``triton_jit.py``), in another process.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sampling import one_in
from triton_jit import TTIR, Compiler

from vaekern._backends import native
from vaekern._backends.choice import why_no_triton

_missing = why_no_triton() or ("" if native.core is not None else "needs the extension")
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)

LAYOUTS = (
    "dense", "bfloat16", "uint8", "signed", "misaligned", "misaligned result", "transposed",
    "one row", "one number", "per datapoint", "a number", "masked", "other rows", "other columns",
    "no second gradient", "both gradients", "column sums", "log sum exp", "halves",
    "halves of a power of two", "one pass", "scaling", "scaling bfloat16", "mixture",
    "gradients of a mixture", "divergence", "divergence from shared rows",
    "divergence of mixed rows", "gradients of a divergence", "gradients of one side",
    "one-hot sample", "relaxed sample", "relaxed one-hot sample", "gradients of a relaxed sample",
)  # fmt: skip
#: Python functions on the way to the driver, per launch. Of Triton itself, whose launch of a
#: compiled kernel they end with, some eight; before version 3.5 a switch is read by some more.
MOST_FRAMES = 36


@pytest.fixture(scope="module")
def compiler() -> Iterator[Compiler]:
    found = Compiler()
    yield found
    found.close()


@pytest.mark.parametrize("arch", one_in(2, [90, 80]))
def test_a_prepared_launch_is_the_one_that_triton_makes(arch: int, compiler: Compiler) -> None:
    outcome = compiler("triton_jit_prepared.same_launches", arch, TTIR, list(LAYOUTS))
    assert not outcome.error, outcome.error


@pytest.mark.parametrize(
    "claim",
    [
        "arguments_are_the_calls",
        "nothing_is_kept",
        "devices_are_told_apart",
        "few_are_remembered",
        "hooks_are_called",
        "debugging_finds_its_own_kernels",
    ],
)
def test_that(claim: str, compiler: Compiler) -> None:
    outcome = compiler(f"triton_jit_prepared.{claim}", 90, TTIR)
    assert not outcome.error, outcome.error


def test_it_takes_little_python(compiler: Compiler) -> None:
    outcome = compiler("triton_jit_prepared.little_python", 90, TTIR, MOST_FRAMES)
    assert not outcome.error, outcome.error
