"""What of its tables the suite runs by default.

A test marked ``table`` is repeated over cases, shapes, layouts, dtypes and backends, more often
than minutes allow. ``--exhaustive`` runs all of it, but for Triton's interpreter; without, and
there always, each table is sampled so that

- every kernel runs on every backend in every dtype, with every kind of target,
- every two of an item's features come together: a kernel and a shape, a shape and a backend, what
  arguments broadcast over and a layout, a mask and a dtype.

A test marked ``table("kernel", "backend")`` is about something else than these, and is content with
each kernel once and each backend once.

Items are looked at in the order of a hash of their names, and one that adds nothing to this is left
out. So the same tests run everywhere, and a new row of a table changes little of the rest. Those on
CUDA's emulation take ten times as long as those on the CPU, and come after them; those in Triton's
interpreter a hundred times, and come last, those of ``_SLOWEST`` behind all. By default they are
there for what they alone add: the tests of dtypes interpret each operation in each dtype and each
kernel once, those of other things any kernel for each shape, layout or mask.

A test marked ``exhaustive`` has no table, but takes long: it runs with that option alone.
So do most of the values of ``one_in``.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from operations.case import Case

from vaekern._ops.table import SOFTMAXES

#: Names of parameters that say where an item runs, and in what.
_BACKENDS = ("backend", "fast_backend", "implementation", "isa")
_DTYPES = ("dtype", "dtypes")
#: What a test on these costs, beside one on others.
_COSTS = {"cuda": 1, "triton": 2}
_INTERPRETED = _COSTS["triton"]
#: Operations over rows of logits, and those with logarithms of the gamma function.
_SLOWEST = {
    *(op.name for op in SOFTMAXES),
    "negative_binomial_log_likelihood",
    "zero_inflated_negative_binomial_log_likelihood",
}

Feature = tuple[str, object]


def one_in(step: int, values: Iterable[object]) -> list[Any]:
    """Values of a parameter, for a test that takes seconds with each and is about something that
    they have in common: the others are for ``--exhaustive``."""
    return one_row_in(step, ((value,) for value in values))


def one_row_in(step: int, rows: Iterable[Iterable[object]]) -> list[Any]:
    """The same of several parameters."""
    others = pytest.mark.exhaustive
    return [pytest.param(*row, marks=others if k % step else ()) for k, row in enumerate(rows)]


def select(
    items: Iterable[pytest.Item], exhaustive: bool
) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Those that run, by default or with the option, in their order, and the others."""
    items = list(items)
    wanted = [item for item in items if exhaustive or not item.get_closest_marker("exhaustive")]
    tables = [item for item in wanted if item.get_closest_marker("table")]
    if exhaustive:
        tables = [item for item in tables if _cost(item) == _INTERPRETED]
    whole = {item.nodeid for item in wanted} - {item.nodeid for item in tables}
    taken = whole | _sampled(tables, exhaustive)
    return [i for i in items if i.nodeid in taken], [i for i in items if i.nodeid not in taken]


def _sampled(items: Iterable[pytest.Item], exhaustive: bool) -> set[str]:
    covered: set[tuple[object, ...]] = set()
    chosen = set()
    for item in sorted(items, key=_order):
        test = item.nodeid.partition("[")[0]
        mark = item.get_closest_marker("table")
        alone = mark.args if mark and not exhaustive else ()
        covers = {(test, *what) for what in _covered_by(item, alone, exhaustive)}
        if covers - covered:
            covered |= covers
            chosen.add(item.nodeid)
    return chosen


def _order(item: pytest.Item) -> tuple[int, int, str]:
    cost = _cost(item)
    if cost == _INTERPRETED and any(op in _SLOWEST for op in _ops(item)):
        cost += 1
    return cost, zlib.crc32(item.nodeid.encode()), item.nodeid


def _cost(item: pytest.Item) -> int:
    params = _params(item)
    return max(_COSTS.get(params.get(name), 0) for name in _BACKENDS)


def _ops(item: pytest.Item) -> Iterator[str]:
    return (value.op for value in _params(item).values() if isinstance(value, Case))


def _params(item: pytest.Item) -> dict[str, Any]:
    call: Any = item.callspec  # type: ignore[attr-defined] - of every parametrised test
    return dict(call.params)


def _covered_by(
    item: pytest.Item, alone: tuple[str, ...], exhaustive: bool
) -> Iterator[tuple[object, ...]]:
    features = list(_features(item))
    if alone:
        yield from ((feature,) for feature in features if feature[0] in alone)
        return
    if _cost(item) == _INTERPRETED and not exhaustive:
        yield from _covered_by_interpreted(item, features)
        return
    yield tuple(f for f in features if f[0] in ("kernel", "target", *_BACKENDS, *_DTYPES))
    yield from itertools.combinations(features, 2)


def _covered_by_interpreted(
    item: pytest.Item, features: list[Feature]
) -> Iterator[tuple[object, ...]]:
    dtypes = [feature for feature in features if feature[0] == "dtype"]
    for dtype in dtypes:
        yield from ((op, dtype) for op in _ops(item))
    of_others = ("kernel", "kinds") if not dtypes else ("kinds",)
    yield from (("interpreted", *f) for f in features if f[0] not in of_others)


def _features(item: pytest.Item) -> Iterator[Feature]:
    for name, value in _params(item).items():
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
