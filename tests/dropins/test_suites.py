"""Projects' own tests, of those that install some, under drop-ins: as many pass as without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

SUITES = {
    # package: its tests, the drop-in, how many pass at least
    "pyroapi": ("pyroapi.tests", "distributions", 15),
}


def outcomes(tests: str, folder: Path, *drop_ins: str) -> dict[str, str]:
    """Of each test: passed, or what became of it instead."""
    report = folder / f"{'-'.join(drop_ins) or 'without'}.xml"
    options = [f"--drop-in={name}" for name in drop_ins]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])
    }
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "dropin_suites", "-p", "no:cacheprovider", *options,
         "-c", os.devnull, f"--rootdir={folder}", f"--junitxml={report}", "--pyargs", tests],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )  # fmt: skip
    assert f"drop-ins: {', '.join(drop_ins) or 'none'}" in run.stdout, run.stderr
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        became = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        found[f"{case.get('classname')}.{case.get('name')}"] = became[0] if became else "passed"
    return found


@pytest.mark.exhaustive
@pytest.mark.parametrize("package", SUITES)
def test_as_many_pass(package: str, tmp_path: Path) -> None:
    pytest.importorskip(package, reason=f"pip install {package}")
    tests, drop_in, least = SUITES[package]
    without = outcomes(tests, tmp_path)
    assert list(without.values()).count("passed") >= least, without
    assert outcomes(tests, tmp_path, drop_in) == without
