"""The importance-weighted example runs: both implementations learn, and equally well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mlxtend", reason="the example's packages: pip install '.[examples]'")

SCRIPT = Path(__file__).parents[2] / "examples" / "iwae.py"


@pytest.mark.exhaustive
def test_both_implementations_learn() -> None:
    command = [sys.executable, str(SCRIPT), "--quick", "--epochs", "1", "--samples", "1"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300.0, check=True)
    _, *rows = (line.split() for line in run.stdout.splitlines())
    nll = {row[1]: float(row[2]) for row in rows}
    assert set(nll) == {"vaekern", "plain"}
    assert all(150.0 < value < 260.0 for value in nll.values()), nll  # untrained: about 540
    assert abs(nll["vaekern"] - nll["plain"]) < 8.0, nll
