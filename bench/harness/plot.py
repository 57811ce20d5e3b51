"""Figures of one run's rows: steps beside each other, speed against size, memory, and speed against
threads."""

from __future__ import annotations

import re
import textwrap
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.harness.report import Row, slug
from bench.problems.providers import OURS
from bench.problems.workloads import WORKLOADS

_Group = dict[str, list[Row]]

#: Where a legend is.
_BESIDE = {"loc": "outside right upper"}

#: Whose steps are drawn: a label, and a pattern of providers, of which the fastest is shown.
_CONTENDERS = {
    "vaekern": OURS,
    "eager": "eager",
    "torch.distributions": "distributions",
    "best of torch.compile": "compile-.*",
}

#: The probes of the memory, by line style.
_ROOFLINES = {"add(out=), same buffers": "--", "add(out=), uncached": ":"}


def require_matplotlib() -> None:
    """Fails before the measurement rather than after it."""
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("--plot draws with matplotlib: pip install matplotlib") from None
    matplotlib.use("Agg")


def draw(rows: Sequence[Row], folder: Path) -> None:
    """Every figure that the rows are enough for."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = [row for row in rows if not row.get("part")]
    sizes = _by(whole, lambda row: f"{row['workload']} {row['dtype']}" if _size(row) else "")
    for name, group in sizes.items():
        _save(folder / f"speed-{slug(name)}.png", name, _speed, group)
    steps = _by(whole, lambda row: _setting(row) if _is_step(row) else "")
    for name, group in steps.items():
        if all(_medians(own, OURS) for own in _by(group, lambda row: row["workload"]).values()):
            below = {"loc": "outside lower center", "ncols": len(_CONTENDERS)}
            _save(folder / f"steps-{slug(name)}.png", f"one step, {name}", _steps, group, below)
    memory = _by(whole, lambda row: row["dtype"] if _has_memory(row) else "")
    for name, group in memory.items():
        _save(folder / f"memory-{name}.png", f"memory, {name}", _memory, group)
    threads = _by(whole, lambda row: f"{row['workload']} {row['dtype']}" if _timed(row) else "")
    for name, group in threads.items():
        if len({row["threads"] for row in group}) > 1:
            _save(folder / f"threads-{slug(name)}.png", name, _threads, group)


def _size(row: Row) -> str:
    return row.get("elements", "")


def _timed(row: Row) -> bool:
    return bool(row.get("median_ms")) and not _size(row)


def _is_step(row: Row) -> bool:
    return _timed(row) and row["workload"] in WORKLOADS


def _setting(row: Row) -> str:
    return f"{row['dtype']}, {row['threads']} threads"


def _has_memory(row: Row) -> bool:
    return bool(row.get("peak_extra_mib")) and not _size(row)


def _by(rows: Sequence[Row], key: Callable[[Row], str]) -> _Group:
    """Rows by a name; those with an empty one are left out."""
    groups: _Group = defaultdict(list)
    for row in rows:
        name = key(row)
        if name:
            groups[name].append(row)
    return groups


def _save(
    path: Path,
    title: str,
    fill: Callable[[Any, list[Row]], None],
    rows: list[Row],
    legend: Mapping[str, Any] = _BESIDE,
) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8.0, 5.0), layout="constrained")
    fill(axes, rows)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(fontsize="small", **legend)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    print(f"drew {path}")


def _speed(axes: Any, rows: list[Row]) -> None:
    """GB/s of the bytes that must move, forward and backward; the rooflines are what the probes
    reach on as many bytes."""
    for provider, own in _by(rows, lambda row: row["provider"]).items():
        own.sort(key=lambda row: int(row["elements"]))
        sizes = [int(row["elements"]) for row in own]
        medians = [float(row["gb_per_s"]) for row in own]
        is_roofline = provider in _ROOFLINES
        style: dict[str, str] = {"marker": "o"}
        if is_roofline:
            style = {"color": "black", "linestyle": _ROOFLINES[provider]}
        (line,) = axes.plot(sizes, medians, label=provider, **style)
        if not is_roofline:
            bands = [_speed_at(own, column) for column in ("p80_ms", "p20_ms")]
            axes.fill_between(sizes, *bands, color=line.get_color(), alpha=0.15)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("elements")
    axes.set_ylabel("GB/s")


def _speed_at(rows: list[Row], column: str) -> list[float]:
    return [int(row["bytes"]) / float(row[column]) / 1e6 for row in rows]


def _steps(axes: Any, rows: list[Row]) -> None:
    """Times by workload, each divided by vaekern's."""
    by_workload = _by(rows, lambda row: row["workload"])
    width = 0.85 / len(_CONTENDERS)
    for k, (label, pattern) in enumerate(_CONTENDERS.items()):
        shift = (k - 0.5 * len(_CONTENDERS) + 0.5) * width
        ratios = {
            place + shift: min(times) / min(_medians(group, OURS))
            for place, group in enumerate(by_workload.values())
            if (times := _medians(group, pattern))
        }
        bars = axes.bar(list(ratios), list(ratios.values()), width, label=label)
        axes.bar_label(bars, fmt="%.2g", fontsize="x-small", padding=1)
    axes.set_xticks(range(len(by_workload)), [_described(name) for name in by_workload])
    axes.tick_params(axis="x", labelsize="x-small")
    axes.set_ylabel("time of a step (vaekern's is 1)")


def _medians(rows: list[Row], pattern: str) -> list[float]:
    """In ms, of the providers that match."""
    return [float(row["median_ms"]) for row in rows if re.fullmatch(pattern, row["provider"])]


def _described(workload: str) -> str:
    return "\n".join([workload, *textwrap.wrap(WORKLOADS[workload].what, 14)])


def _memory(axes: Any, rows: list[Row]) -> None:
    """Peak extra memory by workload, and within it what is saved for the backward."""
    providers = list(_by(rows, lambda row: row["provider"]))
    workloads = list(_by(rows, lambda row: row["workload"]))
    width = 0.8 / len(providers)
    for k, provider in enumerate(providers):
        own = {row["workload"]: row for row in rows if row["provider"] == provider}
        places = [workloads.index(w) + (k - 0.5 * len(providers) + 0.5) * width for w in own]
        peaks = [float(row["peak_extra_mib"]) for row in own.values()]
        saved = [float(row["saved_mib"]) for row in own.values()]
        bars = axes.bar(places, peaks, width, label=provider, alpha=0.55)
        axes.bar(places, saved, width, color=bars[0].get_facecolor(), alpha=1.0)
    axes.set_xticks(range(len(workloads)), workloads)
    axes.set_yscale("log")
    axes.set_ylabel("MiB: peak extra (light), saved for the backward (dark)")


def _threads(axes: Any, rows: list[Row]) -> None:
    """Speed relative to the provider's own on the fewest threads."""
    for provider, own in _by(rows, lambda row: row["provider"]).items():
        own.sort(key=lambda row: int(row["threads"]))
        first = float(own[0]["median_ms"])
        counts = [int(row["threads"]) for row in own]
        axes.plot(counts, [first / float(r["median_ms"]) for r in own], "o-", label=provider)
    axes.set_xlabel("threads")
    axes.set_ylabel("speed, relative to the fewest threads")
    axes.xaxis.get_major_locator().set_params(integer=True)
