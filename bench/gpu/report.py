"""A table for each measurement, and the files that a run leaves behind."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True)
class Run:
    """Everything that a run found out."""

    environment: Row
    options: dict[str, object]
    config: dict[str, str]
    outcomes: list[Outcome]
    copy_bandwidth: float | None
    rows: list[Row]
    not_measured: list[str]

    @property
    def failed(self) -> bool:
        return any(outcome.passed is False for outcome in self.outcomes)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    def save(self, folder: Path, machine: Machine) -> None:
        """One JSON file for the run; its rows join those of earlier ones in the device's CSV."""
        folder.mkdir(parents=True, exist_ok=True)
        name = slug(machine.name)
        path = folder / f"{name}-{commit()}.json"
        path.write_text(self.to_json())
        print(f"\nwrote {path}")
        if self.rows:
            append_csv(folder / f"{name}.csv", [self.environment | row for row in self.rows])
            print(f"{len(self.rows)} rows appended to {folder / name}.csv")
