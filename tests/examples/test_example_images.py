"""The comparison of likelihoods on photographs runs, and both beat a uniform distribution."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the example's packages: pip install '.[examples]'")

SCRIPT = Path(__file__).parents[2] / "examples" / "images.py"


@pytest.mark.exhaustive
def test_a_mixture_needs_fewer_bits() -> None:
    command = [sys.executable, str(SCRIPT), "--quick"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300.0, check=True)
    header, *rows = (line.split() for line in run.stdout.splitlines())
    assert header[0] == "likelihood"
    bits = {row[0]: float(row[1]) for row in rows}
    assert 2.0 < bits["mixture"] < bits["gaussian"] < 8.0
