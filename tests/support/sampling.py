"""What of its tables the suite runs by default.

A test marked ``table`` is repeated over cases, shapes, layouts, dtypes and backends, more often
than minutes allow. ``--exhaustive`` runs all of it; without, each table is sampled so that

- every kernel runs on every backend in every dtype, with every kind of target,
- every two of an item's features come together: a kernel and a shape, a shape and a backend, what
  arguments broadcast over and a layout, a mask and a dtype.

A test marked ``table("kernel", "backend")`` is about something else than these, and is content with
each kernel once and each backend once.

Items are looked at in the order of a hash of their names, and one that adds nothing to this is left
out. So the same tests run everywhere, and a new row of a table changes little of the rest. Those in
Triton's interpreter take a hundred times as long as others, and come last: they are there for what
they alone add, each kernel, shape and layout on that backend, and not for a kernel in a shape.

A test marked ``exhaustive`` has no table, but takes long: it runs with that option alone.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from operations.case import Case

#: Names of parameters that say where an item runs, and in what.
_BACKENDS = ("backend", "fast_backend", "implementation", "isa")
_DTYPES = ("dtype", "dtypes")

Feature = tuple[str, object]


def select(items: Iterable[pytest.Item]) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Those that run by default, in their order, and the others."""
    items = list(items)
    chosen = _sampled([item for item in items if item.get_closest_marker("table")])
    taken, left = [], []
    for item in items:
        in_table = item.get_closest_marker("table") is not None
        runs = item.nodeid in chosen if in_table else not item.get_closest_marker("exhaustive")
        (taken if runs else left).append(item)
    return taken, left


def _sampled(items: Iterable[pytest.Item]) -> set[str]:
    covered: set[tuple[object, ...]] = set()
    chosen = set()
    for item in sorted(items, key=_order):
        test = item.nodeid.partition("[")[0]
        mark = item.get_closest_marker("table")
        covers = {(test, *what) for what in _covered_by(item, mark.args if mark else ())}
        if covers - covered:
            covered |= covers
            chosen.add(item.nodeid)
    return chosen


def _order(item: pytest.Item) -> tuple[bool, int, str]:
    call: Any = item.callspec  # type: ignore[attr-defined] - of every parametrised test
    slow = any(call.params.get(name) == "triton" for name in _BACKENDS)
    return slow, zlib.crc32(item.nodeid.encode()), item.nodeid


def _covered_by(item: pytest.Item, alone: tuple[str, ...]) -> Iterator[tuple[object, ...]]:
    features = list(_features(item))
    if alone:
        yield from ((feature,) for feature in features if feature[0] in alone)
        return
    yield from itertools.combinations(features, 2)
    yield tuple(f for f in features if f[0] in ("kernel", "target", *_BACKENDS, *_DTYPES))


def _features(item: pytest.Item) -> Iterator[Feature]:
    call: Any = item.callspec  # type: ignore[attr-defined] - of every parametrised test
    for name, value in call.params.items():
        if isinstance(value, Case):
            yield from _of_case(value)
        else:
            yield name, id(value)  # one object in all items of a table


def _of_case(case: Case) -> Iterator[Feature]:
    roles = {argument.name: argument.role for argument in case.arguments}
    yield "kernel", (case.op, case.scale)
    yield "target", roles.get("x", roles.get("counts", ""))
    yield "kinds", tuple(a.kind for a in case.arguments[1:] if a.name != "mask")
    yield "mask", next((a.kind for a in case.arguments if a.name == "mask"), "")
