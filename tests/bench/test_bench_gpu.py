"""``python -m bench.gpu`` without a GPU: its phases, what they save while they run, and what
becomes of a phase that is cut off. Nothing here looks at a time."""

from __future__ import annotations

import csv
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from sampling import one_in

from vaekern._backends import native

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0  # seconds
PHASES = ("build", "tests", "sanitizer", "graphs", "benchmarks")

if not (ROOT / "bench").exists():
    pytest.skip("bench/ is not here", allow_module_level=True)
if native.core is None:
    pytest.skip(native.why_missing, allow_module_level=True)


def bench_gpu(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.gpu", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", one_in(5, PHASES))
def test_each_phase_goes_through_dry(phase: str) -> None:
    run = bench_gpu("--dry-run", "--quick", "--phases", phase)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.findall(r"^=== (\w+)$", run.stdout, re.MULTILINE) == [phase]
    assert run.stdout.rstrip().endswith("no GPU figure was measured.")
    assert "FAILED" not in run.stdout
    assert "GB/s" not in run.stdout
    assert "passed: " not in run.stdout


@pytest.mark.exhaustive
def test_phases_run_in_the_order_asked_for() -> None:
    run = bench_gpu("--dry-run", "--quick", "--phases", "graphs,build")
    assert re.findall(r"^=== (\w+)$", run.stdout, re.MULTILINE) == ["graphs", "build"]


@pytest.mark.exhaustive
def test_a_dry_run_leaves_nothing(tmp_path: Path) -> None:
    bench_gpu("--dry-run", "--quick", "--phases", "graphs", "--out", str(tmp_path / "results"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.exhaustive
def test_an_unknown_phase() -> None:
    run = bench_gpu("--dry-run", "--phases", "tests,warm-up")
    assert run.returncode == 2
    assert "'warm-up' is none of build, tests, sanitizer, graphs, benchmarks" in run.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu() -> None:
    run = bench_gpu()
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1
    assert "finds no GPU" in run.stderr


def test_each_phase_is_a_process_that_ends_in_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.gpu import __main__ as main

    calls = []

    def run(command: list[str], *, cwd: Path, timeout: float, check: bool) -> object:
        calls.append(command[command.index("--phases", 5) + 1])
        if calls[-1] == "tests":
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(main.subprocess, "run", run)
    options = main._options(["--budget", "10"])
    assert options.phases == list(PHASES)
    assert not main._in_processes(options, ["--phases", "build,tests", "--budget", "10"])
    assert calls == list(PHASES)
    assert capsys.readouterr().out == "tests: FAILED: not over after 70 s\n"


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture
def report() -> ModuleType:
    from bench.gpu import report

    return report


def record(report: ModuleType, folder: Path):
    from bench.gpu.machine import stand_in

    machine = stand_in()
    files = report.Files(folder, machine, "tests")
    return report.Record(report.Run("tests", machine.describe(), {}, {}), files), files


def test_what_was_found_is_saved_at_once(report: ModuleType, tmp_path: Path) -> None:
    found, files = record(report, tmp_path)

    def saved() -> dict[str, object]:
        return json.loads(files.report.read_text())

    assert saved()["outcomes"] == []
    found.add(report.Outcome("a", True))
    assert [outcome["name"] for outcome in saved()["outcomes"]] == ["a"]
    found.missing("W1: the budget was spent")
    found.bandwidth(1e12)
    assert saved()["not_measured"] == ["W1: the budget was spent"]
    assert saved()["copy_bandwidth"] == 1e12
    assert not saved()["over"]
    assert not found.run.failed
    found.add(report.Outcome("b", False, "wrong"))
    found.close()
    assert saved()["over"]
    assert found.run.failed
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]


def test_figures_are_saved_at_once(
    report: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With made-up times: the table, the JSON file and the rows."""
    from bench.gpu.measure import COPY, Figures
    from bench.gpu.sizes import Table
    from bench.harness.timing import Timing
    from bench.problems.workloads import op_workload

    def timings(*parts: str):
        return {part: Timing(2e-6, 1e-6, 3e-6, 5) for part in parts}

    table = Table(op_workload("standard_kl", 2**16), torch.float32, ())
    steps = timings("both", "forward", "backward", "host")
    figures = Figures(
        table,
        {"vaekern-cuda": steps, COPY: timings("both", "host")},
        {"vaekern-cuda": 2**20},
        {"vaekern-triton": "is off by 1"},
        1e12,
    )
    report.print_figures(figures)
    assert "1.0" in capsys.readouterr().out
    found, files = record(report, tmp_path)
    for tables in (1, 2):
        found.figures(figures)
        assert len(json.loads(files.report.read_text())["rows"]) == 4 * tables
        with (tmp_path / "dry-run.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 4 * tables
    assert math.isclose(float(rows[0]["of_bandwidth"]), 6 * 4 * 2**16 / 2e-6 / 1e12, rel_tol=1e-2)
    assert found.run.failed  # vaekern was wrong somewhere


def test_a_table_that_does_not_fit_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.gpu import measure
    from bench.gpu.machine import stand_in
    from bench.gpu.sizes import tables
    from bench.gpu.timing import DryClock

    def run_table(table, *_):
        if table.name.startswith("toy of W2"):
            raise torch.OutOfMemoryError("too large\nfor this GPU")
        return table.name

    monkeypatch.setattr(measure, "run_table", run_table)
    planned = tables(stand_in(), quick=True)
    for seconds, n_reported in ((100.0, len(planned) - 1), (0.0, 0)):
        reported: list[object] = []
        missing: list[str] = []
        budget = measure.Budget(seconds)
        measure.run_tables(
            planned, stand_in(), DryClock(), 0, budget, reported.append, missing.append
        )
        assert len(reported) == n_reported
        assert len(missing) == len(planned) - n_reported
    assert missing[0] == f"{planned[0].name}: the budget was spent"


@pytest.mark.parametrize("git", ["absent", "no repository"])
def test_the_commit_without_git(git: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.harness import environment

    monkeypatch.delenv(environment.COMMIT_VARIABLE, raising=False)
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(environment, "COMMIT_FILE", tmp_path / "COMMIT")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    if git == "absent":
        monkeypatch.setenv("PATH", str(tmp_path))
    environment._git.cache_clear()
    assert environment.commit() == "unknown"
    (tmp_path / "COMMIT").write_text("0123456789ab\n")
    assert environment.commit() == "0123456789ab"
    monkeypatch.setenv(environment.COMMIT_VARIABLE, "abcdef")
    assert environment.versions()["commit"] == "abcdef"
    environment._git.cache_clear()
