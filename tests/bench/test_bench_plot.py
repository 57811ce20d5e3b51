"""Steps beside each other, drawn from results that are kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = next(p for p in Path(__file__).parents if (p / "pyproject.toml").exists())
HEADER = "date,commit,threads,workload,dtype,provider,part,elements,median_ms\n"
ROWS = [
    "2026-01-01,abc,2,W1,float32,vaekern,,,2.0",
    "2026-01-01,abc,2,W1,float32,vaekern,forward,,1.5",
    "2026-01-01,abc,2,W1,float32,eager,,,5.0",
    "2026-01-01,abc,2,W1,float32,compile-eager,,,6.0",
    "2026-01-01,abc,2,W1,float32,compile-distributions,,,3.0",
    "2026-01-01,abc,2,W6,float32,vaekern,,,4.0",
    "2026-01-01,abc,2,W6,float32,eager,,,6.0",
    "2026-01-01,abc,2,overhead gaussian_kl,float32,vaekern,,,1.0",
]

pytest.importorskip("matplotlib")
if not (ROOT / "bench").exists():
    pytest.skip("bench/ is not here", allow_module_level=True)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "results.csv"
    path.write_text(HEADER + "\n".join(ROWS) + "\n")
    return path


def test_bars_are_times_relative_to_vaekern(results: Path) -> None:
    from matplotlib.figure import Figure

    from bench.harness import plot
    from bench.harness.report import read_csv

    axes = Figure().subplots()
    steps = [row for row in read_csv(results) if not row["part"] and plot._is_step(row)]
    plot._steps(axes, steps)
    bars = {c.get_label(): [bar.get_height() for bar in c] for c in axes.containers}
    assert bars == {
        "vaekern": [1.0, 1.0],
        "eager": [2.5, 1.5],
        "torch.distributions": [],
        "best of torch.compile": [1.5],
    }


@pytest.mark.exhaustive
@pytest.mark.parametrize("what", ["abc", "file"])
def test_command_draws_what_is_kept(results: Path, tmp_path: Path, what: str) -> None:
    source = [str(results)] if what == "file" else [what, "--files", str(results)]
    run = subprocess.run(
        [sys.executable, "-m", "bench", "plot", source[0], str(tmp_path / "out"), *source[1:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    drawn = [path.name for path in (tmp_path / "out").iterdir()]
    assert drawn == ["steps-float32-2-threads.png"]
