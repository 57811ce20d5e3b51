"""Tables on the terminal, rows in CSV files."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import environment

_RESULTS = Path(__file__).resolve().parent / "results"


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The first column left-aligned, the others right-aligned."""
    lines = [header, *rows]
    widths = [max(len(line[k]) for line in lines if k < len(line)) for k in range(len(header))]
    for line in lines:
        cells = [
            cell.rjust(width) if k else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=False))
        ]
        print("  " + "  ".join(cells).rstrip())


def print_environment() -> None:
    print(", ".join(f"{name} {value}" for name, value in environment.describe().items() if value))


class Results:
    """Collects rows; ``save`` appends them to ``results/<cpu>[-<suffix>].csv``."""

    def __init__(self, suffix: str = "") -> None:
        slug = re.sub(r"[^a-z0-9]+", "-", environment.cpu_model().lower()).strip("-")
        self.path = _RESULTS / f"{slug}{suffix and '-' + suffix}.csv"
        self.rows: list[dict[str, str]] = []

    def add(self, row: Mapping[str, str]) -> None:
        self.rows.append(environment.describe() | dict(row))

    def save(self) -> None:
        if not self.rows:
            return
        _RESULTS.mkdir(exist_ok=True)
        is_new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]))
            if is_new:
                writer.writeheader()
            writer.writerows(self.rows)
        print(f"\n{len(self.rows)} rows appended to {self.path}")
