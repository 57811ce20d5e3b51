"""The example trains, draws its figures, and goes on after being killed as if it had not been."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import shared
import torch

for package in ("matplotlib", "sklearn", "tqdm"):
    pytest.importorskip(package, reason="the example's packages: pip install '.[examples]'")

SCRIPT = Path(__file__).parents[2] / "examples" / "train_mnist.py"
FIGURES = ("reconstructions", "samples", "latent_map", "latent_grid", "elbo")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PATIENCE = 300.0  # seconds


def command(out: Path, *options: str) -> list[str]:
    small = ("--dataset=digits", "--device=cpu", "--likelihood=gaussian", "--latent=2")
    return [sys.executable, str(SCRIPT), *small, "--hidden=32", f"--out={out}", *options]


def train(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(out, *options), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def train_and_kill(out: Path) -> dict[str, Any]:
    """Kills a run after its first checkpoint, and returns the last one that it wrote."""
    checkpoint = out / "checkpoint.pt"
    with subprocess.Popen(command(out, "--epochs=1000000"), stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while not checkpoint.exists() and time.monotonic() < deadline:
                assert process.poll() is None, "the run ended before its first checkpoint"
                time.sleep(0.02)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    return load(out)


def load(out: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(out / "checkpoint.pt", weights_only=True)
    return checkpoint


def elbos(history: list[dict[str, float]]) -> list[tuple[float, float]]:
    return [(epoch["train_elbo"], epoch["test_elbo"]) for epoch in history]


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was killed and then went on for one epoch."""

    def kill_and_resume(out: Path) -> None:
        epoch = train_and_kill(out)["epoch"]
        run = train(out, "--resume", f"--epochs={epoch + 1}")
        assert run.returncode == 0, run.stderr
        assert f"going on after epoch {epoch}" in run.stdout

    return shared.folder(tmp_path_factory, "killed", kill_and_resume)


@pytest.mark.exhaustive
def test_a_killed_run_ends_as_one_that_was_not(resumed: Path, tmp_path: Path) -> None:
    after_kill = load(resumed)
    run = train(tmp_path, f"--epochs={after_kill['epoch']}")
    assert run.returncode == 0, run.stderr
    whole = load(tmp_path)

    assert elbos(after_kill["history"]) == elbos(whole["history"])
    assert torch.equal(after_kill["rng"], whole["rng"])
    for name, weights in whole["model"].items():
        assert torch.equal(after_kill["model"][name], weights), name


@pytest.mark.exhaustive
def test_figures_and_summary(resumed: Path) -> None:
    for name in FIGURES:
        assert (resumed / f"{name}.png").read_bytes().startswith(PNG_SIGNATURE), name
    summary = json.loads((resumed / "summary.json").read_text())
    assert summary["epochs"] == load(resumed)["epoch"]
    assert summary["test_elbo"] <= summary["log_px"]
    assert summary["test_elbo"] == pytest.approx(summary["reconstruction"] - summary["kl"])


@pytest.mark.exhaustive
def test_options_that_clash_with_the_checkpoint_are_named(resumed: Path) -> None:
    run = train(resumed, "--hidden=33")
    assert run.returncode == 1
    assert "--hidden 32 (now 33)" in run.stderr
