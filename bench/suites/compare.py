"""Two sets of results side by side: ``python -m bench compare A B``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.harness.report import MEASURED, RESULTS, Row, print_table, read_csv

#: Columns that two results may differ in and still be of the same thing.
_VERSIONS = ("date", "commit", "vaekern", "torch", "triton", "cuda", "driver")

_Key = tuple[tuple[str, str], ...]


def run(a: str, b: str, files: Sequence[Path]) -> None:
    """``a`` and ``b`` are what :func:`select` takes."""
    before, after = _latest(select(a, files)), _latest(select(b, files))
    shared = [key for key in before if key in after]
    if not shared:
        raise SystemExit(f"{a} and {b} have no measurement in common")
    constant = dict(set.intersection(*(set(key) for key in shared)))
    print(", ".join(f"{name} {value}" for name, value in sorted(constant.items())))
    rows = [
        [
            " ".join(value for name, value in key if name not in constant),
            *_cells(before[key], after[key]),
        ]
        for key in shared
    ]
    print_table(["", f"A {a}", "p20-p80", f"B {b}", "p20-p80", "B / A", ""], rows)
    for name, only, other in ((a, before, after), (b, after, before)):
        missing = sum(key not in other for key in only)
        if missing:
            print(f"  only in {name}: {missing}")


def verdict(before: Row, after: Row) -> str:
    """Whether the bands of 60 % of the samples are apart, and on which side."""
    if float(after["p80_ms"]) < float(before["p20_ms"]):
        return "faster"
    if float(after["p20_ms"]) > float(before["p80_ms"]):
        return "slower"
    return "~"


def select(what: str, files: Sequence[Path]) -> list[Row]:
    """The rows of a CSV file, or of the commit that begins so in ``files`` (by default all results
    that are kept)."""
    files = files or sorted(RESULTS.glob("*.csv"))
    path = Path(what)
    if path.suffix == ".csv":
        if not path.exists():
            raise SystemExit(f"{what}: no such file")
        return read_csv(path)
    rows = [row for file in files for row in read_csv(file) if row["commit"].startswith(what)]
    if not rows:
        raise SystemExit(f"{what}: neither a CSV file nor a commit that has results")
    rows = [row for row in rows if row["commit"] == what] or rows  # not its -dirty one as well
    commits = {row["commit"] for row in rows}
    if len(commits) > 1:
        raise SystemExit(f"{what}: more than one commit: {', '.join(sorted(commits))}")
    return rows


def _latest(rows: Sequence[Row]) -> dict[_Key, Row]:
    """The last timing of everything that was measured."""
    timed = [row for row in rows if row.get("median_ms")]
    return {_key(row): row for row in sorted(timed, key=lambda row: row["date"])}


def _key(row: Row) -> _Key:
    apart = (*_VERSIONS, *MEASURED)
    return tuple((name, value) for name, value in row.items() if value and name not in apart)


def _cells(before: Row, after: Row) -> list[str]:
    medians = [float(row["median_ms"]) for row in (before, after)]
    bands = [f"{row['p20_ms']}-{row['p80_ms']}" for row in (before, after)]
    return [
        f"{medians[0]:.4g} ms",
        bands[0],
        f"{medians[1]:.4g} ms",
        bands[1],
        f"{medians[1] / medians[0]:.2f}",
        verdict(before, after),
    ]
