"""The discrete example trains, and its classes are in use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the example's packages: pip install '.[examples]'")

SCRIPT = Path(__file__).parents[2] / "examples" / "discrete.py"


@pytest.mark.exhaustive
@pytest.mark.parametrize("samples", [[], ["--relaxed"]], ids=["exact", "relaxed"])
def test_it_trains(samples: list[str]) -> None:
    command = [sys.executable, str(SCRIPT), "--dataset=digits", "--epochs=10", *samples]
    command += ["--hidden=128", "--variables=8", "--classes=8"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300.0, check=True)
    header, *rows = run.stdout.splitlines()
    assert "test ELBO" in header
    elbos, divergences, classes = zip(*(map(float, row.split()[1:]) for row in rows), strict=True)
    assert len(rows) == 4
    assert elbos[0] < elbos[-1]
    assert -27.3 < elbos[-1] < -20.0  # without latents it would be below
    assert min(divergences) > 0.0
    assert 1.0 < classes[-1] < 8.0
