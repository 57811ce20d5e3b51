"""What ``python -m bench.gpu`` starts, without a GPU: commands, their time and their output."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import torch

from vaekern._backends import native

ROOT = Path(__file__).parents[2]
PATIENCE = 300.0  # seconds

if not (ROOT / "bench").exists():
    pytest.skip("bench/ is not here", allow_module_level=True)
if native.core is None:
    pytest.skip(native.why_missing, allow_module_level=True)


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
