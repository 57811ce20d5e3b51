"""All operations: what their files in ``rows`` say, in the order of the table."""

from __future__ import annotations

import importlib
from pathlib import Path

from operations.case import DESCRIBED, Argument, Case
from operations.description import Description, Subject

ROWS = Path(__file__).parent / "rows"


def _described(name: str) -> Description:
    if not (ROWS / f"{name}.py").exists():
        raise FileNotFoundError(f"tests/operations/rows/{name}.py: nothing describes the operation")
    description: Description = importlib.import_module(f"operations.rows.{name}").DESCRIPTION
    return description


DESCRIPTIONS = {op.name: _described(op.name) for op in DESCRIBED}


def _masked(case: Case, description: Description) -> Case:
    mask = Argument("mask", "mask", description.masks[case.label])
    label = f"{case.label}-{mask.kind}_mask"
    return Case(label, case.op, case.function, (*case.arguments, mask), case.constants)


UNMASKED = tuple(case for description in DESCRIPTIONS.values() for case in description.cases)
MASKED = tuple(
    _masked(case, description)
    for description in DESCRIPTIONS.values()
    for case in description.cases
    if case.label in description.masks
)
#: Every public function, in every way it can be called.
CASES = (*UNMASKED, *MASKED)
FUNCTIONS = sorted({case.function for case in CASES})

_WITH_A_MASK = next(c for c in MASKED if c.label == "gaussian-logvar-channel-float-full_mask")

#: Every op and every shape of argument, in one scale and with one kind of target: for the tests
#: that are about memory, threads or torch rather than about the mathematics.
REPRESENTATIVES = (
    *[
        case
        for case in UNMASKED
        if case.scale in ("", "logvar") and not case.label.endswith(("-bool", "-uint8"))
    ],
    _WITH_A_MASK,
)

#: One case per op, and one with a mask: learned priors and noise from a seed where there are any.
ONE_PER_OP = (
    *[
        next(case for case in description.cases if case.label == description.representative)
        for description in DESCRIPTIONS.values()
    ],
    _WITH_A_MASK,
)

SUBJECTS: tuple[Subject, ...] = tuple(
    description.subject for description in DESCRIPTIONS.values() if description.subject is not None
)

#: Function, constants, arguments of one element, its value and gradients.
LIMITS = [
    (description.function, *row)
    for description in DESCRIPTIONS.values()
    for row in description.limits
]
