"""The examples of training frameworks train; models of other projects train alike with drop-ins."""

from __future__ import annotations

import csv
import importlib.util
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


COMPARED = {
    "distributions_models.py": "torch",
    "diffusers_models.py": "diffusers",
    "pyro_models.py": "pyro",
    "pythae_models.py": "pythae",
    "scvi_models.py": "scvi",
}


def test_every_comparison_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*_models.py")} == set(COMPARED)


@pytest.mark.exhaustive
@pytest.mark.parametrize("script", COMPARED)
def test_trains_as_without(script: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(COMPARED[script]) is None:
        pytest.skip(f"{script} needs {COMPARED[script]}: see its first lines")
    results = tmp_path / "results.csv"
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / script), "--steps=3", "--no-times", f"--csv={results}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    with results.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    for row in rows:
        assert float(row["loss_difference"]) < 1e-6, row
        assert float(row["gradient_difference"]) < 1e-4, row
        assert float(row["last_loss_difference"]) < 1e-5, row
        assert row["ratio"] == ""
