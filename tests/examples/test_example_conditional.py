"""The conditional example trains, and draws the digits that it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the example's packages: pip install '.[examples]'")
pytest.importorskip("matplotlib", reason="the example's packages: pip install '.[examples]'")

SCRIPT = Path(__file__).parents[2] / "examples" / "conditional.py"


@pytest.mark.exhaustive
def test_it_draws_digits_by_class(tmp_path: Path) -> None:
    picture = tmp_path / "digits.png"
    command = [sys.executable, str(SCRIPT), "--dataset=digits", "--epochs=30"]
    command += ["--hidden=128", "--latent=6", f"--out={picture}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300.0, check=True)
    header, *rows = run.stdout.splitlines()
    assert "test ELBO" in header
    elbos = [float(row.split()[1]) for row in rows]
    assert len(rows) == 6
    assert elbos == sorted(elbos)
    assert -25.0 < elbos[-1] < -20.0
    assert float(rows[-1].split()[2]) > 0.9
    assert picture.stat().st_size > 0
