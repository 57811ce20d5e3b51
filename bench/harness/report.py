"""Tables on the terminal, rows in CSV files."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from bench.harness import environment
from bench.harness.timing import Timing

RESULTS = Path(__file__).resolve().parents[1] / "results"

Row = dict[str, str]

#: Columns that say what came out. Those of ``environment`` say where, all others what was measured.
MEASURED = (
    "median_ms",
    "p20_ms",
    "p80_ms",
    "samples",
    "host_us",
    "frames",
    "c_calls",
    "bytes",
    "gb_per_s",
    "of_bandwidth",
    "saved_mib",
    "peak_extra_mib",
)


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


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def timing_columns(
    timing: Timing, bytes_to_move: int | None = None, bandwidth: float | None = None
) -> Row:
    """``bandwidth`` is the roofline's, in bytes per second."""
    columns = {
        "median_ms": f"{timing.median * 1e3:.4g}",
        "p20_ms": f"{timing.p20 * 1e3:.4g}",
        "p80_ms": f"{timing.p80 * 1e3:.4g}",
        "samples": str(timing.samples),
    }
    if bytes_to_move is not None:
        speed = bytes_to_move / timing.median
        columns |= {"bytes": str(bytes_to_move), "gb_per_s": f"{speed / 1e9:.4g}"}
        if bandwidth is not None:
            columns["of_bandwidth"] = f"{speed / bandwidth:.3f}"
    return columns


class Results:
    """Collects rows; ``save`` appends them to ``results/<cpu>[-<suffix>].csv``."""

    def __init__(self, suffix: str = "", folder: Path = RESULTS) -> None:
        self.path = folder / f"{slug(environment.cpu_model())}{suffix and '-' + suffix}.csv"
        self.rows: list[Row] = []

    def add(self, row: Mapping[str, str]) -> None:
        self.rows.append(environment.describe() | dict(row))

    def save(self) -> None:
        if self.rows:
            append_csv(self.path, self.rows)
            print(f"\n{len(self.rows)} rows appended to {self.path}")


def slug(text: str) -> str:
    """As in a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def read_csv(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return [{k: v or "" for k, v in row.items()} for row in csv.DictReader(file)]


def append_csv(path: Path, rows: Sequence[Row]) -> None:
    """Rows may have columns that the file, or other rows, lack: those cells are empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    all_rows = [*(read_csv(path) if path.exists() else ()), *rows]
    columns = list(dict.fromkeys(column for row in all_rows for column in row))
    columns.sort(key=lambda column: column in MEASURED)  # stable: results after what they are of
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(all_rows)
