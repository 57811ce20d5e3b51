"""The tests of Triton's own compiler, with every version of Triton from 3.4 on.

``python tests/gpu/triton_versions.py`` makes an environment for each, with that Triton and
otherwise the packages of the one that runs it, tries ``test_triton_jit.py`` and
``test_triton_prepared.py`` in it, and writes ``triton_versions.csv`` beside this file: tests,
launches and compilations. Versions on the command line restrict it to them, and keep the other
rows; ``--environments`` names a folder where environments stay, and are found again. It takes a few
minutes for each, and no GPU.
"""

from __future__ import annotations

import argparse
import csv
import platform
import subprocess
import sysconfig
import tempfile
import venv
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

HERE = Path(__file__).parent
TABLE = HERE / "triton_versions.csv"
TESTS = ("test_triton_jit.py", "test_triton_prepared.py")
VERSIONS = ("3.4.0", "3.5.0", "3.6.0", "3.7.0", "3.8.0", "3.9.0")
COLUMNS = (
    "triton", "torch", "numpy", "python", "passed", "failed", "skipped", "launches", "compilations",
)  # fmt: skip


def environment(folder: Path, version: str) -> Path:
    """Its Python."""
    python = folder / "bin" / "python"
    if python.exists():
        return python
    venv.create(folder, with_pip=True)
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", f"triton=={version}"]
    subprocess.run(install, check=True)
    found = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    # Behind its own packages, those of this environment.
    others = Path(found.stdout.strip()) / "others.pth"
    others.write_text(sysconfig.get_path("purelib") + "\n")
    return python


def row(version: str, environments: Path | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        python = environment((environments or Path(folder)) / f"triton_{version}", version)
        report = Path(folder) / "report.xml"
        options = ["-q", "-p", "no:cacheprovider", f"--junitxml={report}", "-n", "0"]
        print(f"--- Triton {version}", flush=True)
        # From where no checkout stands in front of the installed package.
        subprocess.run([python, "-m", "pytest", *options, *TESTS], cwd=HERE, check=False)
        suite = ElementTree.parse(report).getroot()[0]
        versions = subprocess.run(
            [python, "-c", "import triton, torch, numpy; print(triton.__version__, "
             "torch.__version__.split('+')[0], numpy.__version__)"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    counted = {p.get("name"): p.get("value") for p in suite.iter("property")}
    failed = int(suite.attrib["failures"]) + int(suite.attrib["errors"])
    skipped = int(suite.attrib["skipped"])
    triton, torch, numpy = versions.stdout.split()
    return {
        "triton": triton,
        "torch": torch,
        "numpy": numpy,
        "python": platform.python_version(),
        "passed": int(suite.attrib["tests"]) - failed - skipped,
        "failed": failed,
        "skipped": skipped,
        "launches": counted.get("launched", 0),
        "compilations": counted.get("compiled", 0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("versions", nargs="*", metavar="version")
    parser.add_argument("--environments", type=Path)
    options = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    if options.versions and TABLE.exists():
        rows = {each["triton"]: each for each in csv.DictReader(TABLE.open())}
    for version in options.versions or VERSIONS:
        rows[version] = row(version, options.environments)
        with TABLE.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows[key] for key in sorted(rows, key=_numbers))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


if __name__ == "__main__":
    main()
