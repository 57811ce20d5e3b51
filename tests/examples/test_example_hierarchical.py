"""The hierarchical example trains, and both its layers of latents are in use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the example's packages: pip install '.[examples]'")

SCRIPT = Path(__file__).parents[2] / "examples" / "hierarchical.py"


@pytest.mark.exhaustive
def test_it_trains() -> None:
    command = [sys.executable, str(SCRIPT), "--dataset=digits", "--quick", "--hidden=64"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300.0, check=True)
    header, *rows = run.stdout.splitlines()
    assert "test ELBO" in header
    elbos = [float(row.split()[1]) for row in rows]
    divergences = [float(kl) for row in rows for kl in row.split()[2:]]
    assert len(rows) == 3
    assert elbos == sorted(elbos)
    assert -35.0 < elbos[-1] < -20.0
    assert min(divergences) > 0.0
