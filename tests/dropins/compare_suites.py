"""Runs a project's own tests with a drop-in and without, and says which pass only without it:

    python tests/dropins/compare_suites.py .../pyro --drop-in distributions --package pyro-ppl \\
        --commit ff6ae1c -- tests/distributions tests/infer/test_gradient.py

in a checkout of the project's tests, for the package as it is installed. ``--csv`` appends a row
of what was found.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).parent


def outcomes(
    selection: Sequence[str], drop_ins: Sequence[str], folder: Path, seconds: float
) -> dict[str, str]:
    """Of each test that pytest is asked for, in a folder: passed, or what became of it instead."""
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "report.xml"
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "dropin_suites", "-p", "no:cacheprovider",
             *(f"--drop-in={name}" for name in drop_ins), f"--junitxml={report}", *selection],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )  # fmt: skip
        assert f"drop-ins: {', '.join(drop_ins) or 'none'}" in run.stdout, run.stdout + run.stderr
        cases = list(ElementTree.parse(report).iter("testcase"))
    return {f"{case.get('classname')}.{case.get('name')}": outcome(case) for case in cases}


def outcome(case: ElementTree.Element) -> str:
    became = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
    return became[0] if became else "passed"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("checkout", type=Path, help="where pytest runs")
    parser.add_argument("--drop-in", action="append", default=[], required=True)
    parser.add_argument("--package", required=True, help="whose version the row names")
    parser.add_argument("--commit", required=True, help="of the tests")
    parser.add_argument("--seconds", type=float, default=7200.0, help="for either run")
    parser.add_argument("--csv", type=Path, help="append a row to this file")
    parser.add_argument("selection", nargs="+", help="what pytest is asked for")
    arguments = parser.parse_args()

    def pass_under(*drop_ins: str) -> set[str]:
        found = outcomes(arguments.selection, drop_ins, arguments.checkout, arguments.seconds)
        return {name for name, became in found.items() if became == "passed"}

    without, with_it = pass_under(), pass_under(*arguments.drop_in)
    assert without, "nothing passes without, either: run pytest to see why"
    lost = sorted(without - with_it)
    print(f"{len(without)} pass without, {len(with_it)} with {', '.join(arguments.drop_in)}")
    print(*(f"lost: {name}" for name in lost), sep="\n")
    if arguments.csv:
        append(arguments, {"without": len(without), "with": len(with_it), "lost": len(lost)})
    return 1 if lost else 0


def append(arguments: argparse.Namespace, counts: dict[str, int]) -> None:
    row = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ"),
        "torch": importlib.metadata.version("torch"),
        "project": arguments.package,
        "version": importlib.metadata.version(arguments.package),
        "tests_commit": arguments.commit,
        "drop_in": " ".join(arguments.drop_in),
        "selection": " ".join(arguments.selection),
        **counts,
    }
    new = not arguments.csv.exists()
    with arguments.csv.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    sys.exit(main())
