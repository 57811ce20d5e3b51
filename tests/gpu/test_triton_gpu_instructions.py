"""The Triton kernels take no more instructions than the table beside the tests says."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import cuda_resources
import pytest
from gpu_instructions import KEY, LAUNCHES, OPERATIONS

from vaekern._backends.choice import triton_version, why_no_triton

SCRIPT = Path(__file__).with_name("triton_gpu_instructions.py")

_missing = why_no_triton() or ("" if cuda_resources.tool() else "needs cuobjdump")
pytestmark = pytest.mark.skipif(bool(_missing), reason=_missing)


def _table() -> list[dict[str, str]]:
    return list(csv.DictReader(SCRIPT.with_suffix(".csv").read_text().splitlines()))


def test_every_launch_has_its_rows() -> None:
    found = {(row["operation"], row["variant"], row["layout"]) for row in _table()}
    assert found == {(each.operation, each.variant, each.layout) for each in LAUNCHES}


@pytest.mark.exhaustive
@pytest.mark.parametrize("operation", OPERATIONS)
def test_kernels_take_no_more_instructions_than_the_table_says(operation: str) -> None:
    table = {tuple(row[name] for name in KEY): row for row in _table()}
    if {row["triton"] for row in table.values()} != {triton_version()}:
        pytest.skip("the table is of another version of Triton")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [sys.executable, SCRIPT, operation]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    names = list(next(iter(table.values())))
    grown = []
    for row in csv.DictReader(done.stdout.splitlines(), names):
        want = table[tuple(row[name] for name in KEY)]
        if float(row["instructions"]) > float(want["instructions"]):
            grown.append((row, want))
    assert not grown
