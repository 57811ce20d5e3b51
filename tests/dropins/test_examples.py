"""The examples of training frameworks train."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples" / "dropins"
UNTRAINED = 64 * 0.6931  # nats: every pixel undecided
RUNS = {
    "lightning": ("pytorch_lightning", "lightning_vae.py", ()),
    "accelerate": ("accelerate", "accelerate_vae.py", ("--mixed-precision=bf16",)),
    "trainer": ("transformers", "trainer_vae.py", ("--bf16",)),
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", RUNS)
def test_trains(name: str, tmp_path: Path) -> None:
    package, script, options = RUNS[name]
    for needed in (package, "sklearn"):
        pytest.importorskip(needed, reason=f"{script} needs it: see its first lines")
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / script), "--cpu", "--epochs=2", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "loss " in run.stdout, run.stderr
    loss = float(run.stdout.rpartition("loss ")[2].split()[0])
    assert 10.0 < loss < UNTRAINED
