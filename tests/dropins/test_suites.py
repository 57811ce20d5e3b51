"""Projects' own tests, of those that install some, under drop-ins: as many pass as without. What is
lost would be seen."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import compare_suites
import pytest

SUITES = {
    # package: its tests, the drop-in, how many pass at least
    "pyroapi": ("pyroapi.tests", "distributions", 15),
}
A_SUITE = """
import torch

def test_of_torch():
    assert torch.distributions.kl_divergence.__globals__["__name__"].startswith("torch.")

def test_of_both():
    pass

def test_of_neither():
    raise AssertionError
"""


@pytest.mark.exhaustive
@pytest.mark.parametrize("package", SUITES)
def test_as_many_pass(package: str, tmp_path: Path) -> None:
    pytest.importorskip(package, reason=f"pip install {package}")
    tests, drop_in, least = SUITES[package]
    selection = ["-c", os.devnull, f"--rootdir={tmp_path}", "--pyargs", tests]
    without, with_it = (
        compare_suites.outcomes(selection, drop_ins, tmp_path, seconds=900.0)
        for drop_ins in ([], [drop_in])
    )
    assert list(without.values()).count("passed") >= least, without
    assert with_it == without


@pytest.mark.exhaustive
def test_what_is_lost_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test_it.py").write_text(A_SUITE)
    rows = tmp_path / "rows.csv"
    given = [tmp_path, "--drop-in=distributions", "--package=torch", "--commit=0", "--csv", rows]
    monkeypatch.setattr(sys, "argv", ["", *map(str, given), "--", "-c", os.devnull, "test_it.py"])
    assert compare_suites.main() == 1
    assert "2 pass without, 1 with distributions\nlost: test_it.test_of_torch" in (
        capsys.readouterr().out
    )
    assert rows.read_text().splitlines()[1].endswith("test_it.py,2,1,1")
