"""Checks that are programs of their own: the installation, the test suite on the device, and
compute-sanitizer. What they print goes to a log while they run."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.harness.environment import ROOT

_SANITIZER = "compute-sanitizer"
_SANITIZER_TOOLS = ("memcheck", "racecheck")
_FAULT_EXIT = 9
_LAST_LINES = 12
_MOST_TESTERS = 8


@dataclass(frozen=True)
class Command:
    """``needs`` is a program; where it is not on PATH the command is skipped."""

    name: str
    arguments: Sequence[str]
    needs: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> str | None:
        if self.needs and shutil.which(self.needs) is None:
            return f"{self.needs} is not on PATH (it comes with the CUDA toolkit)"
        return None

    def __str__(self) -> str:
        settings = [f"{name}={value}" for name, value in self.environment.items()]
        return " ".join([*settings, *self.arguments])

    def fault(self, seconds: float, log: Path) -> str | None:
        """None if it succeeds in that time, else how it ended. Appends its output to the log."""
        with log.open("a+") as file:
            file.write(f"$ {self}\n")
            file.flush()
            start = file.tell()
            ended = self._run(seconds, file.fileno())
            file.seek(start)
            said = file.read().strip().splitlines()
        last = "\n".join(said[-_LAST_LINES:])
        print(last, flush=True)
        if ended is None:
            return f"not over after {seconds:.0f} s{_tests_so_far(said)}"
        return f"exit status {ended}:\n{last}" if ended else None

    def _run(self, seconds: float, output: int) -> int | None:
        """The exit status, None if it took too long: then what it has started ends with it."""
        process = subprocess.Popen(
            self.arguments,
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(timeout=max(1.0, seconds))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return None


def _python(module: str, *arguments: str) -> list[str]:
    """As ``python -m``, which would put the folder that it is started in first on the path: here
    the sources, in place of the installed package."""
    run = f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    return [sys.executable, "-c", f"import runpy, sys; sys.path.remove(''); {run}", *arguments]


def _tests_so_far(said: Sequence[str]) -> str:
    """Of pytest -v."""
    counts = [
        f"{n} {verdict.lower()}"
        for verdict in ("PASSED", "FAILED", "ERROR")
        if (n := sum(bool(re.search(rf"\b{verdict}\b", line)) for line in said))
    ]
    return f", by then {', '.join(counts)}" if counts else ""


def installation(capability: str | None) -> Command:
    """From the sources and what is installed: nothing is fetched. With a capability, as "90", the
    kernels are compiled for it alone."""
    options = ["--no-build-isolation", "--no-deps", "--force-reinstall"]
    return Command(
        "installation",
        [sys.executable, "-m", "pip", "install", "--verbose", *options, "."],
        environment={} if capability is None else {"CUDAARCHS": f"{capability}-real"},
    )


def installed() -> Command:
    return Command("what is installed", _python("vaekern"))


def _tests_of_backends() -> list[str]:
    """The files whose tests run on the backends under test."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [
        str(file.relative_to(ROOT))
        for file in files
        if re.search(r"^(import|from) backends\b", file.read_text(), re.MULTILINE)
    ]


def parity_tests(*, quick: bool) -> list[Command]:
    """Those of Triton last: it compiles for each of them."""
    where = _tests_of_backends() if quick else ["tests"]
    side_by_side: list[str] = []
    if importlib.util.find_spec("xdist") is not None:
        side_by_side = ["-n", str(min(_MOST_TESTERS, os.cpu_count() or 1))]
    pytest = _python("pytest", *where, "--device", "cuda", "-v", *side_by_side)
    return [
        Command("tests on the device, all but Triton's", [*pytest, "-k", "not triton"]),
        Command("tests on the device, Triton's", [*pytest, "-k", "triton"]),
    ]


def sanitizer(backend: str, *, quick: bool) -> list[Command]:
    """Triton compiles for each dtype and most shapes, some 800 times in all: a few of them do."""
    driver = [sys.executable, "-m", "bench.gpu.every_op", backend]
    if quick or backend == "triton":
        driver.append("--few")
    options = ["--error-exitcode", str(_FAULT_EXIT), "--report-api-errors", "no"]
    return [
        Command(
            f"{tool}, backend {backend}",
            [_SANITIZER, "--tool", tool, *options, *driver],
            needs=_SANITIZER,
            # Every tensor an allocation of its own, whose bounds the tool knows.
            environment={"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
        )
        for tool in _SANITIZER_TOOLS
    ]
