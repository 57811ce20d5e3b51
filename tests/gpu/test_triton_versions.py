"""What ``triton_versions.py`` wrote is of every version, of the tests as they are now, and nothing
failed. (``python tests/gpu/triton_versions.py`` writes it anew.)"""

from __future__ import annotations

import csv
import subprocess
import sys

import pytest
import triton_versions

from vaekern._backends import native
from vaekern._backends.choice import why_no_triton

_missing = why_no_triton() or ("" if native.core is not None else "needs the extension")

Rows = list[dict[str, str]]


@pytest.fixture
def rows() -> Rows:
    with triton_versions.TABLE.open() as file:
        return list(csv.DictReader(file))


def test_every_version_compiles_everything(rows: Rows) -> None:
    assert [row["triton"] for row in rows] == list(triton_versions.VERSIONS)
    for row in rows:
        assert (row["failed"], row["skipped"]) == ("0", "0"), row


def test_every_version_was_told_of_the_same_launches(rows: Rows) -> None:
    assert len({row["launches"] for row in rows}) == 1
    assert int(rows[0]["launches"]) > int(rows[0]["compilations"]) > 0


@pytest.mark.exhaustive
@pytest.mark.skipif(bool(_missing), reason=_missing)
def test_the_tests_are_those_of_the_table(rows: Rows) -> None:
    """As many: of every kernel there are some."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    # From where no checkout stands in front of the installed package.
    listed = subprocess.run(
        [*command, *triton_versions.TESTS],
        cwd=triton_versions.HERE, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    found = sum("::" in line for line in listed.splitlines())
    assert {row["passed"] for row in rows} == {str(found)}
