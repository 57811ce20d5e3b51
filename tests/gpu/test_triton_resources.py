"""The Triton kernels compile for GPUs, spill nothing, load 16 bytes at a time, and take no more
registers than the table beside the tests says."""

from __future__ import annotations

import csv
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import shared

from vaekern._backends.choice import why_no_triton

SCRIPT = Path(__file__).with_name("triton_resources.py")
#: The one with the least to compute, and those with the most.
REPRESENTATIVES = (
    "bernoulli_log_likelihood.value_and_vjp",
    "sample_with_standard_kl.value",
    "sample_with_gaussian_kl.vjp",
)

_missing = why_no_triton() or ("" if platform.machine() == "x86_64" else "needs an x86-64 machine")
pytestmark = [pytest.mark.exhaustive, pytest.mark.skipif(bool(_missing), reason=_missing)]


def _table(text: str) -> dict[tuple[str, str], dict[str, str]]:
    return {(row["kernel"], row["arch"]): row for row in csv.DictReader(text.splitlines())}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], dict[str, str]]:
    """Compiled in a process of its own: in this one, Triton may interpret."""

    def compile_them(folder: Path) -> None:
        environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
        done = subprocess.run(
            [sys.executable, SCRIPT, *REPRESENTATIVES],
            check=True, capture_output=True, text=True, env=environment,
        )  # fmt: skip
        (folder / "found.csv").write_text(done.stdout)

    folder = shared.folder(tmp_path_factory, "triton", compile_them)
    return _table((folder / "found.csv").read_text())


def test_nothing_spills_and_loads_are_wide(found: dict[tuple[str, str], dict[str, str]]) -> None:
    assert {kernel for kernel, _ in found} == set(REPRESENTATIVES)
    for row in found.values():
        assert int(row["stack"]) == 0, row
        assert int(row["wide_loads"]) > 0, row


def test_registers_are_those_of_the_table(found: dict[tuple[str, str], dict[str, str]]) -> None:
    table = _table(SCRIPT.with_suffix(".csv").read_text())
    for key, row in found.items():
        if row["triton"] != table[key]["triton"]:
            pytest.skip(f"the table is of Triton {table[key]['triton']}")
        assert int(row["registers"]) <= int(table[key]["registers"]), row
