"""The comparison of gradient estimators runs, and finds what the literature says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the example's packages: pip install '.[examples]'")

SCRIPT = Path(__file__).parents[1] / "examples" / "estimators.py"


def test_estimators_differ_in_their_noise() -> None:
    command = [sys.executable, str(SCRIPT), "--quick", "--samples", "1", "8"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300.0, check=True)
    header, *rows = (line.split() for line in run.stdout.splitlines())
    assert header[:3] == ["K", "bound", "estimator"]
    deviation = {(int(row[0]), row[2]): float(row[3]) for row in rows}
    assert len(deviation) == 6
    assert deviation[1, "dreg"] == deviation[1, "stl"] < deviation[1, "iwae"]
    assert deviation[8, "dreg"] < deviation[8, "stl"] < deviation[8, "iwae"]
