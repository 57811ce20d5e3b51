"""Every operation by itself over sizes from hundreds of elements to tens of millions."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from bench.harness.measure import Effort, Measurement, measure
from bench.harness.memory import keep_freed_memory
from bench.harness.report import Results, dtype_name, print_table
from bench.problems.providers import Provider
from bench.problems.workloads import op_workload
from bench.suites.steps import print_excluded

_PARTS = ("forward", "backward", "both")


def run(
    ops: Sequence[str],
    exponents: Sequence[int],
    providers: Sequence[Provider],
    dtypes: Sequence[torch.dtype],
    effort: Effort,
    results: Results,
) -> None:
    """Sizes are 2 to the ``exponents``."""
    keep_freed_memory()
    for op in ops:
        for dtype in dtypes:
            print(f"\n{op} {dtype_name(dtype)}: us forward, backward, both; GB/s and its share of")
            print("add(out=) for both; MiB saved / at the peak")
            for exponent in exponents:
                workload = op_workload(op, 2**exponent)
                _print(exponent, measure(workload, dtype, providers, effort, results))


def _print(exponent: int, measured: Measurement) -> None:
    rows = []
    for name, timings in measured.steps.items():
        microseconds = [f"{timings[part].median * 1e6:.1f}" for part in _PARTS]
        speed = measured.bytes_to_move / timings["both"].median
        shares = [f"{speed / 1e9:.1f}", f"{100.0 * speed / measured.bandwidth:.0f} %"]
        rows.append([name, *microseconds, *shares, str(measured.memory[name])])
    shape = measured.workload.sizes
    print_table([f"2^{exponent}: {shape}", *_PARTS, "GB/s", "share", "saved / peak"], rows)
    print_excluded(measured)
