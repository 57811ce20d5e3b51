"""For a machine with a GPU: ``python -m bench.gpu --phases build,tests,...``

Installs the library, runs the tests on the device, watches the kernels with compute-sanitizer,
replays CUDA graphs and runs several streams, and measures. Each phase is a process of its own,
keeps to a time, and saves what it finds as it goes, so that a phase can also be called by itself.
``--dry-run`` goes the same way on the CPU at toy sizes, without commands, clocks and files.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch

from bench.gpu.machine import Machine, gpu, stand_in
from bench.gpu.measure import Budget
from bench.gpu.phases import PHASES
from bench.gpu.report import Files, Record, Run
from bench.harness.environment import ROOT
from bench.harness.report import RESULTS
from vaekern._backends.config import config

#: Beyond its time, for what a phase does before it looks at the clock and after.
_GRACE = 60.0

_NO_FIGURES = "Dry run: no GPU took part, and no GPU figure was measured."


def _phases(names: str) -> list[str]:
    chosen = names.split(",")
    for name in chosen:
        if name not in PHASES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(PHASES)}")
    return chosen


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    add = parser.add_argument
    add("--phases", type=_phases, default=list(PHASES), help=f"of {','.join(PHASES)}")
    add("--budget", type=float, default=450.0, help="seconds for each phase")
    add("--rounds", type=int, default=50, help="samples of each candidate, at most")
    add("--quick", action="store_true", help="float32, fewer peers, sizes, samples and tests")
    add("--dry-run", action="store_true", help="on a machine without a GPU: all but the figures")
    add("--out", type=Path, default=RESULTS, help="folder of the JSON, CSV and log files")
    return parser.parse_args(arguments)


def _run(phase: str, machine: Machine, options: argparse.Namespace) -> bool:
    """Whether nothing failed."""
    print(f"\n=== {phase}", flush=True)
    said = {name: str(value) for name, value in vars(options).items()}
    run = Run(phase, machine.describe(), said, config())
    record = Record(run, Files(options.out, machine, phase) if machine.is_gpu else None)
    PHASES[phase](machine, options, Budget(options.budget), record)
    record.close()
    print(f"\n{phase}: {'FAILED' if run.failed else 'nothing failed'}", flush=True)
    for outcome in run.outcomes:
        print(f"  {outcome}")
    return not run.failed


def _in_processes(options: argparse.Namespace, arguments: list[str]) -> bool:
    """One after the other: each starts with what the one before has installed, and none keeps the
    next from running."""
    passed = True
    for phase in options.phases:
        command = [sys.executable, "-m", "bench.gpu", *arguments, "--phases", phase]
        try:
            done = subprocess.run(command, cwd=ROOT, timeout=options.budget + _GRACE, check=False)
            passed &= done.returncode == 0
        except subprocess.TimeoutExpired:
            print(f"{phase}: FAILED: not over after {options.budget + _GRACE:.0f} s", flush=True)
            passed = False
    return passed


def main(arguments: list[str]) -> None:
    options = _options(arguments)
    options.out = options.out.resolve()
    if options.dry_run:
        machine = stand_in()
        passed = all([_run(phase, machine, options) for phase in options.phases])
        print(f"\n{_NO_FIGURES}")
    elif not torch.cuda.is_available():
        sys.exit("bench.gpu: torch finds no GPU here (--dry-run goes through without one)")
    elif len(options.phases) > 1:
        passed = _in_processes(options, [*arguments, "--out", str(options.out)])
    else:
        passed = _run(options.phases[0], gpu(), options)
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
