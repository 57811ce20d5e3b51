"""The plan of the package: which file may name which. Imports in functions and for types count."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "vaekern"

FILES = {
    ".".join(("vaekern", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(ROOT.rglob("*.py"))
}
#: Rooms, from the lowest: a file imports from its own and from lower ones.
LAYERS = (
    ("_torch", "_version"),
    ("_checks",),
    ("_modules",),
    ("_backends",),
    ("_validation",),
    ("_ops",),
    ("functional",),
    ("last_layer", "likelihoods", "compat"),
    ("posteriors",),
    ("priors",),
    ("objectives",),
    ("elbo",),
    ("vae", "reference"),
    ("", "__main__"),
)


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield whole if whole in FILES else str(node.module)


IMPORTS: Mapping[str, set[str]] = {
    name: {other for other in _imported(path) if other in FILES} for name, path in FILES.items()
}


def _room(name: str) -> str:
    return name.removeprefix("vaekern").removeprefix(".").partition(".")[0]


def _reached_from(name: str) -> set[str]:
    reached: set[str] = set()
    ahead = [name]
    while ahead:
        for other in IMPORTS[ahead.pop()] - reached:
            reached.add(other)
            ahead.append(other)
    return reached


@pytest.mark.parametrize("name", FILES)
def test_no_file_is_named_by_one_that_it_names(name: str) -> None:
    # A package's own files are imported through it: its __init__ names them, they never name it.
    assert name not in _reached_from(name)


def test_rooms_import_from_lower_ones_alone() -> None:
    floor = {room: k for k, rooms in enumerate(LAYERS) for room in rooms}
    assert {_room(name) for name in FILES} == set(floor)
    upwards = [
        (name, other)
        for name, others in IMPORTS.items()
        for other in others
        if _room(other) != _room(name) and floor[_room(other)] >= floor[_room(name)]
    ]
    assert upwards == []
