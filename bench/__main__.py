"""``python -m bench [steps | kernels | memory]``"""

from __future__ import annotations

import argparse
import os
import sys

import torch

from bench import kernels, memory, steps
from bench.providers import PROVIDERS
from bench.report import Results, print_environment
from bench.workloads import WORKLOADS
from vaekern import _native

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("suite", nargs="?", choices=("steps", "kernels", "memory"), default="steps")
    add("--workloads", nargs="+", choices=list(WORKLOADS), default=list(WORKLOADS))
    default = [name for name, provider in PROVIDERS.items() if provider.default]
    add("--providers", nargs="+", choices=list(PROVIDERS), default=default)
    add("--dtype", nargs="+", choices=list(_DTYPES), default=list(_DTYPES))
    add("--threads", nargs="+", type=int, help="one run for each number")
    add("--rounds", type=int, default=50, help="samples of each candidate, at most")
    add("--seconds", type=float, default=15.0, help="soft limit of a table's measurement")
    add("--csv", action="store_true", help="append the results to bench/results/")
    return parser.parse_args()


def _default_threads(suite: str) -> list[int]:
    """Torch's number; kernels on one thread as well."""
    threads = torch.get_num_threads()
    return sorted({1, threads}) if suite == "kernels" else [threads]


def main() -> None:
    options = _arguments()
    if _native.core is None:
        sys.exit(f"nothing to measure: {_native.why_missing}")
    dtypes = [_DTYPES[name] for name in options.dtype]
    results = Results("memory" if options.suite == "memory" else "")
    for threads in options.threads or _default_threads(options.suite):
        torch.set_num_threads(threads)
        print_environment()
        print(f"load average before the run: {os.getloadavg()[0]:.2f}")
        if options.suite == "kernels":
            kernels.run(options.rounds, options.seconds, results)
        elif options.suite == "memory":
            memory.run(options.workloads, options.providers, dtypes, results)
        else:
            steps.run(
                options.workloads,
                options.providers,
                dtypes,
                options.rounds,
                options.seconds,
                results,
            )
    if options.csv:
        results.save()


if __name__ == "__main__":
    main()
