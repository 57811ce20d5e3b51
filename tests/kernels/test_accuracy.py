"""Ulps against mpmath, for every operation, scale, output and instruction set (see accuracy.py)."""

from __future__ import annotations

import pytest
from operations.accuracy import LIMIT, errors, table
from operations.description import Subject
from operations.every import SUBJECTS
from operations.points import points

STANDARD_KL = next(subject for subject in SUBJECTS if subject.name == "standard_kl")


def _id(value: object) -> str:
    return value.name if isinstance(value, Subject) else str(value)


@pytest.mark.parametrize(("subject", "scale"), list(table()), ids=_id)
def test_every_output_within_ulps(subject: Subject, scale: str, isa: str) -> None:
    too_far = {}
    for output, off in errors(subject, scale).items():
        if off.max() > LIMIT:
            where = [float(x[off.argmax()]) for x in points(subject, scale)]
            too_far[output] = f"{off.max():.2f} ulp at {[*subject.arguments]} = {where}"
    assert not too_far


def test_the_points_cover_the_range() -> None:
    logits = points(SUBJECTS[0], "")[0]
    assert logits.min() == -1e4
    assert logits.max() == 1e4
    for scale, low, high in (("logvar", -80, 80), ("log_std", -40, 40), ("std", 5e-18, 2e17)):
        spread = points(STANDARD_KL, scale)[1]
        assert spread.min() <= low
        assert spread.max() >= high
