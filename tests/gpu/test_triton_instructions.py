"""The floating-point instructions of the Triton kernels are those that the numerics page names:
what ``triton_instructions.py`` finds, and wrote to the table beside the tests."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import triton_instructions

from vaekern._backends.choice import why_no_triton
from vaekern._backends.native import core

SCRIPT = Path(__file__).with_name("triton_instructions.py")
KERNELS = triton_instructions.kernels()
#: The one with the least to compute, one with noise, and the one with most divisions.
REPRESENTATIVES = (
    ("bernoulli_log_likelihood", "", "value_and_vjp"),
    ("sample_with_standard_kl", "logvar", "value"),
    ("student_t_log_likelihood", "", "vjp"),
)
#: Of docs/numerics.md: where the CUDA library's exp and log of float64 begin, and then correct.
OF_THE_LIBRARY = {"rcp.approx.ftz.f64", "abs.ftz.f32"}
#: Where the radius of the noise begins, and is then corrected; and those that have noise.
OF_NOISE = {"rsqrt.approx.ftz.f32"}
WITH_NOISE = ("reparameterize.", "sample_with_")
#: Those take the logarithm of a float64 sum, in any dtype.
LOG_SUM_EXP = ("categorical_log_likelihood.value", "multinomial_log_likelihood.value")

Table = dict[tuple[str, str], dict[str, str]]

_missing = why_no_triton() or ("" if core is not None else "needs the extension")
pytestmark = [pytest.mark.exhaustive, pytest.mark.skipif(bool(_missing), reason=_missing)]


def _table(text: str) -> Table:
    return {(row["kernel"], row["dtype"]): row for row in csv.DictReader(text.splitlines())}


@pytest.fixture(scope="module")
def found() -> Table:
    """Compiled in a process of its own: in this one, Triton may interpret."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    wanted = map(KERNELS.index, REPRESENTATIVES)
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, wanted)],
        check=True, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    return _table(done.stdout)


@pytest.fixture
def committed() -> Table:
    return _table(SCRIPT.with_suffix(".csv").read_text())


def _check(table: Table) -> None:
    for (kernel, dtype), row in table.items():
        instructions = row["instructions"].split()
        loose = {name for name in instructions if "approx" in name or "ftz" in name}
        if dtype == "float64" or kernel in LOG_SUM_EXP:
            allowed = OF_THE_LIBRARY
        else:
            allowed = OF_NOISE if kernel.startswith(WITH_NOISE) else set()
        assert loose <= allowed, kernel
        # Divisions, roots and conversions are rounded correctly, and say so.
        rounded = [name for name in instructions if name.startswith(("fma", "div", "sqrt", "rcp"))]
        assert all(".rn" in name or name in loose for name in rounded), kernel
        if dtype == "float32":
            assert int(row["fma"]) <= int(row["fma_written"]), kernel


def test_nothing_is_approximate_or_fused_unasked(found: Table) -> None:
    assert found
    _check(found)


def test_nor_is_it_in_the_table(committed: Table) -> None:
    """Of every kernel: the default run compiles few."""
    assert {kernel for kernel, _ in committed} == {
        ".".join(filter(None, kernel)) for kernel in KERNELS
    }
    _check(committed)


def test_instructions_are_those_of_the_table(found: Table, committed: Table) -> None:
    for key, row in found.items():
        if row["triton"] != committed[key]["triton"]:
            pytest.skip(f"the table is of Triton {committed[key]['triton']}")
        assert row == committed[key]
