"""``python -m bench.gpu`` without a GPU: its phases, what they save while they run, and what
becomes of a phase that is cut off. Nothing here looks at a time."""

from __future__ import annotations

import csv
import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from vaekern._backends import native

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0  # seconds
PHASES = ("build", "tests", "sanitizer", "graphs", "benchmarks")

if not (ROOT / "bench").exists():
    pytest.skip("bench/ is not here", allow_module_level=True)
if native.core is None:
    pytest.skip(native.why_missing, allow_module_level=True)


@pytest.fixture(autouse=True, scope="module")
def _bench_is_importable() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        yield


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


@pytest.mark.parametrize(
    "phase",
    [pytest.param(p, marks=pytest.mark.exhaustive if p == "benchmarks" else ()) for p in PHASES],
)
def test_each_phase_goes_through_dry(phase: str) -> None:
    run = bench_gpu("--dry-run", "--quick", "--phases", phase)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.findall(r"^=== (\w+)$", run.stdout, re.MULTILINE) == [phase]
    assert run.stdout.rstrip().endswith("no GPU figure was measured.")
    assert "FAILED" not in run.stdout
    assert "GB/s" not in run.stdout
    assert "passed: " not in run.stdout


def test_phases_run_in_the_order_asked_for() -> None:
    run = bench_gpu("--dry-run", "--quick", "--phases", "graphs,build")
    assert re.findall(r"^=== (\w+)$", run.stdout, re.MULTILINE) == ["graphs", "build"]


def test_a_dry_run_leaves_nothing(tmp_path: Path) -> None:
    bench_gpu("--dry-run", "--quick", "--phases", "graphs", "--out", str(tmp_path / "results"))
    assert list(tmp_path.iterdir()) == []


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


# --- commands -------------------------------------------------------------------------------------


def python(code: str) -> object:
    from bench.gpu.commands import Command

    return Command("a", [sys.executable, "-c", code])


def test_output_goes_to_the_log_while_a_command_runs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = f"print('first'); assert 'first' in open({str(log)!r}).read()"
    assert python(code).fault(PATIENCE, log) is None
    assert "exit status 3:\nsecond" in python("print('second'); exit(3)").fault(PATIENCE, log)
    said = log.read_text()
    assert said.count("first\n") == said.count("second\n") == 1


def test_a_command_that_is_cut_off(tmp_path: Path) -> None:
    """What it had done is told, and what it has started ends, too."""
    alive = tmp_path / "alive"
    child = f"import time; time.sleep(3.0); open({str(alive)!r}, 'w')"
    code = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "print('t.py::a PASSED\\nt.py::b PASSED\\n[gw1] FAILED t.py::c')\n"
        "time.sleep(60.0)"
    )
    fault = python(code).fault(1.5, tmp_path / "log")
    assert fault == "not over after 2 s, by then 2 passed, 1 failed"
    time.sleep(3.5)
    assert not alive.exists()


def test_a_missing_tool_is_named() -> None:
    from bench.gpu.commands import Command

    assert "is not on PATH" in Command("a", [], needs="no-such-tool").missing


def test_the_installation_fetches_nothing() -> None:
    from bench.gpu import commands

    command = commands.installation("90")
    assert {"--no-build-isolation", "--no-deps"} < set(command.arguments)
    assert command.arguments[-1] == "."
    assert str(command).startswith("CUDAARCHS=90-real ")
    assert commands.installation(None).environment == {}


def test_the_installed_package_is_tested_not_the_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.gpu import commands

    (tmp_path / "shadow.py").write_text("raise SystemExit('the sources')")
    monkeypatch.setattr(commands, "ROOT", tmp_path)
    command = commands.Command("a", commands._python("shadow"))
    assert "No module named shadow" in command.fault(PATIENCE, tmp_path / "log")


def test_tests_of_triton_come_last() -> None:
    from bench.gpu import commands

    for quick in (False, True):
        others, tritons = commands.parity_tests(quick=quick)
        assert others.arguments[-1] == "not triton"
        assert tritons.arguments[-1] == "triton"
        assert {"--device", "cuda"} < set(others.arguments)
    files = [word for word in others.arguments if word.endswith(".py")]
    assert any(word.endswith("test_parity.py") for word in files)
    assert not any(word.endswith("test_bench_gpu.py") for word in files)


def test_a_few_steps_have_all_shapes_and_dtypes() -> None:
    from bench.gpu import commands, every_op
    from bench.problems.families import OPS

    few = [choice for k in range(len(OPS)) for choice in every_op.choices(k, few=True)]
    everything = every_op.choices(0, few=False)
    assert {shape for shape, _ in few} == {shape for shape, _ in everything}
    assert {dtype for _, dtype in few} == {dtype for _, dtype in everything}
    assert len(few) == 2 * len(OPS)
    for backend, quick, is_few in (
        ("cuda", False, False),
        ("cuda", True, True),
        ("triton", False, True),
    ):
        for command in commands.sanitizer(backend, quick=quick):
            assert ("--few" in command.arguments) == is_few


def test_a_few_steps_run() -> None:
    from bench.gpu import every_op
    from bench.problems.families import OPS

    assert every_op.run("best", torch.device("cpu"), few=True) == 2 * len(OPS) + 2
