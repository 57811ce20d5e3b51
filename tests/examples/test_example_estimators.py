"""The comparison of gradient estimators runs, and finds what the literature says; that of
likelihoods of counts runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the example's packages: pip install '.[examples]'")

EXAMPLES = Path(__file__).parents[2] / "examples"


def rows_of(script: str, *options: str) -> list[list[str]]:
    """What it prints, in words."""
    command = [sys.executable, str(EXAMPLES / script), "--quick", *options]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300.0, check=True)
    return [line.split() for line in run.stdout.splitlines()]


@pytest.mark.exhaustive
def test_estimators_differ_in_their_noise() -> None:
    header, *rows = rows_of("estimators.py", "--samples", "1", "8")
    assert header[:3] == ["K", "bound", "estimator"]
    deviation = {(int(row[0]), row[2]): float(row[3]) for row in rows}
    assert len(deviation) == 7
    assert deviation[1, "dreg"] == deviation[1, "stl"] < deviation[1, "iwae"]
    assert deviation[1, "iwae"] < deviation[1, "score"] / 5
    assert deviation[8, "dreg"] < deviation[8, "stl"] < deviation[8, "iwae"]


@pytest.mark.exhaustive
def test_likelihoods_of_counts() -> None:
    _, *rows = rows_of("counts.py")
    found = {name: (float(elbo), float(marginal)) for name, elbo, marginal in rows}
    assert set(found) == {"poisson", "negative_binomial"}
    for elbo, marginal in found.values():
        assert elbo < marginal < 0.0
