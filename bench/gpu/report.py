"""A table for each measurement, and the files that a phase leaves behind, as it goes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.gpu.machine import Machine
from bench.gpu.measure import COPY, Figures
from bench.harness.environment import commit
from bench.harness.report import Row, append_csv, print_table, slug
from bench.harness.timing import Timings

_HEADER = (
    "provider",
    "median us",
    "p20",
    "p80",
    "forward",
    "backward",
    "host us",
    "GB/s",
    "of copy",
    "peak MiB",
)


@dataclass(frozen=True)
class Outcome:
    """Of one check; ``passed`` is None where it was skipped, and ``detail`` says why."""

    name: str
    passed: bool | None
    detail: str = ""

    def __str__(self) -> str:
        verdict = {True: "passed", False: "FAILED", None: "skipped"}[self.passed]
        return f"{verdict}: {self.name}{self.detail and ': ' + self.detail}"


def print_figures(figures: Figures) -> None:
    table = figures.table
    moved = table.workload.bytes_to_move(table.dtype)
    assert moved is not None
    print(f"\n{table.name}: {table.workload.sizes}")
    samples = figures.timings[COPY]["both"].samples
    print(f"  at least {moved / 1e6:.2f} MB to move; {samples} samples each")
    rows = []
    for name, timings in figures.timings.items():
        row = [name, *_microseconds(timings)]
        is_copy = name == COPY
        speed = figures.bandwidth if is_copy else moved / timings["both"].median
        row += [f"{speed / 1e9:.0f}", f"{100.0 * speed / figures.bandwidth:.0f} %"]
        peak = figures.peak_bytes.get(name)
        rows.append([*row, f"{peak / 2**20:.1f}" if peak else ""])
    print_table(_HEADER, rows)
    for name, why in figures.excluded.items():
        print(f"  {name}: {why}")


def _microseconds(timings: Timings) -> list[str]:
    whole = timings["both"]
    parts = [timings[p].median if p in timings else None for p in ("forward", "backward", "host")]
    seconds = [whole.median, whole.p20, whole.p80, *parts]
    return ["" if s is None else f"{s * 1e6:.1f}" for s in seconds]


@dataclass
class Run:
    """Everything that a phase has found out so far."""

    phase: str
    environment: Row
    options: dict[str, str]
    config: dict[str, str]
    outcomes: list[Outcome] = field(default_factory=list)
    copy_bandwidth: float | None = None
    rows: list[Row] = field(default_factory=list)
    not_measured: list[str] = field(default_factory=list)
    over: bool = False  # false in the file of a run that was cut off

    @property
    def failed(self) -> bool:
        return any(outcome.passed is False for outcome in self.outcomes)


class Files:
    """Where a phase's findings go: a JSON file and logs of its own; rows join those of earlier runs
    in the device's CSV file. Whatever ends a run leaves what it had found."""

    def __init__(self, folder: Path, machine: Machine, phase: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        device = slug(machine.name)
        self._stem = folder / f"{device}-{slug(commit())}-{phase}"
        self._csv = folder / f"{device}.csv"

    @property
    def log(self) -> Path:
        return self._stem.with_name(self._stem.name + ".log")

    @property
    def report(self) -> Path:
        return self._stem.with_name(self._stem.name + ".json")

    def save(self, run: Run) -> None:
        partial = self.report.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(run), indent=2) + "\n")
        os.replace(partial, self.report)

    def append(self, run: Run, rows: list[Row]) -> None:
        append_csv(self._csv, [run.environment | row for row in rows])


class Record:
    """A run, printed and saved with each thing that it finds. Without files, as in a dry run, it is
    only printed."""

    def __init__(self, run: Run, files: Files | None) -> None:
        self.run = run
        self._files = files
        self._save()

    @property
    def log(self) -> Path | None:
        return None if self._files is None else self._files.log

    def add(self, outcome: Outcome) -> None:
        print(outcome, flush=True)
        self.run.outcomes.append(outcome)
        self._save()

    def bandwidth(self, bytes_per_second: float) -> None:
        self.run.copy_bandwidth = bytes_per_second
        self._save()

    def figures(self, figures: Figures) -> None:
        rows = figures.rows()
        self.run.rows += rows
        if self._files is not None and rows:
            self._files.append(self.run, rows)
        self._save()
        for name, why in figures.excluded.items():
            if name.startswith("vaekern"):
                self.add(Outcome(f"{figures.table.workload.name}, {name}", False, why))

    def missing(self, what: str) -> None:
        print(f"not measured: {what}", flush=True)
        self.run.not_measured.append(what)
        self._save()

    def close(self) -> None:
        self.run.over = True
        self._save()
        if self._files is not None:
            print(f"\nwrote {self._files.report}", flush=True)

    def _save(self) -> None:
        if self._files is not None:
            self._files.save(self.run)
