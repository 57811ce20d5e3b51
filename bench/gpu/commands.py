"""Checks that are programs of their own: the test suite on the device, and compute-sanitizer."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bench.harness.environment import ROOT

_SANITIZER = "compute-sanitizer"
_SANITIZER_TOOLS = ("memcheck", "racecheck")
_FAULT_EXIT = 9
_LAST_LINES = 12


@dataclass(frozen=True)
class Command:
    """``needs`` is a program; where it is not on PATH the command is skipped. ``share`` is how much
    of the run's budget it may take."""

    name: str
    arguments: Sequence[str]
    share: float
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

    def fault(self, seconds: float) -> str | None:
        """None if it succeeds in that time, else the end of its output."""
        try:
            done = subprocess.run(
                self.arguments,
                cwd=ROOT,
                env=os.environ | self.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=max(1.0, seconds),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"not over after {seconds:.0f} s"
        last = "\n".join(done.stdout.strip().splitlines()[-_LAST_LINES:])
        print(last)
        return f"exit status {done.returncode}:\n{last}" if done.returncode else None


def parity_tests() -> Command:
    arguments = [sys.executable, "-m", "pytest", "tests", "--device", "cuda", "-q"]
    return Command("parity tests on the device", arguments, share=0.4)


def sanitizer(backend: str) -> list[Command]:
    driver = [sys.executable, "-m", "bench.gpu.every_op", backend]
    options = ["--error-exitcode", str(_FAULT_EXIT), "--report-api-errors", "no"]
    return [
        Command(
            f"{tool}, backend {backend}",
            [_SANITIZER, "--tool", tool, *options, *driver],
            share=0.12,
            needs=_SANITIZER,
            # Every tensor an allocation of its own, whose bounds the tool knows.
            environment={"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
        )
        for tool in _SANITIZER_TOOLS
    ]
