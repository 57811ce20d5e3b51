"""The main suite: whole steps, forward and backward, of every workload by every provider."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.harness.measure import Effort, Measurement, measure
from bench.harness.report import Results, dtype_name, print_table
from bench.harness.timing import Timings
from bench.problems.providers import OURS, PEERS, Provider
from bench.problems.workloads import WORKLOADS


def run(
    workloads: Sequence[str],
    providers: Sequence[Provider],
    dtypes: Sequence[torch.dtype],
    effort: Effort,
    results: Results,
) -> None:
    for dtype in dtypes:
        for name in workloads:
            workload = WORKLOADS[name]
            print(f"\n{workload.name} {dtype_name(dtype)}: {workload.what}; {workload.sizes}")
            _print(measure(workload, dtype, providers, effort, results))


def _print(measured: Measurement) -> None:
    ours = measured.steps.get(OURS)
    rows = []
    for name, timings in (measured.steps | measured.probes).items():
        is_step = name in measured.steps
        seconds = timings["both"].median
        row = [name, *_times(timings)]
        row.append(f"{seconds / ours['both'].median:.2f}" if ours and is_step else "")
        speed = measured.bytes_to_move / seconds
        row += [f"{speed / 1e9:.1f}", f"{100.0 * speed / measured.bandwidth:.0f} %"]
        row.append(str(measured.memory[name]) if is_step else "")
        rows.append(row)
    samples = next(iter(measured.probes.values()))["both"].samples
    print(f"  at least {measured.bytes_to_move / 1e6:.2f} MB to move; {samples} samples each")
    times = ["median ms", "p20", "p80", "forward", "backward"]
    header = ["provider", *times, f"/ {OURS}", "GB/s", "of add(out=)", "saved / peak MiB"]
    print_table(header, rows)
    print_excluded(measured)
    peers = {n: t["both"].median for n, t in measured.steps.items() if n in PEERS}
    if ours and peers:
        best = min(peers, key=lambda name: peers[name])
        print(f"  best peer / {OURS}: {peers[best] / ours['both'].median:.2f} ({best})")


def _times(timings: Timings) -> list[str]:
    whole = timings["both"]
    parts = [timings[part].median if part in timings else None for part in ("forward", "backward")]
    seconds = [whole.median, whole.p20, whole.p80, *parts]
    return ["" if s is None else f"{s * 1e3:.3f}" for s in seconds]


def print_excluded(measured: Measurement) -> None:
    for name, why in measured.excluded.items():
        print(f"  {name}: {why}")
