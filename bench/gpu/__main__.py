"""One command for a machine with a GPU: ``python -m bench.gpu``.

Checks the installation, runs the tests on the device, watches the kernels with compute-sanitizer,
replays CUDA graphs, runs several streams, and measures. ``--dry-run`` goes the same way on the CPU
at toy sizes, without commands and clocks.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

import vaekern as vk
from bench.gpu import checks, commands, every_op
from bench.gpu.commands import Command
from bench.gpu.machine import GPU_BACKENDS, Machine, gpu, imagined, stand_in, why_unavailable
from bench.gpu.measure import COPY, Budget, Figures, copy_bandwidth, run_tables
from bench.gpu.report import Outcome, Run, print_figures
from bench.gpu.sizes import tables
from bench.gpu.timing import DeviceClock, DryClock
from bench.harness.report import RESULTS, Row
from vaekern._backends import native
from vaekern._backends.config import config

PHASES = ("tests", "sanitizer", "graphs", "streams", "benchmarks")

_NOT_COMPILED = """The CUDA kernels are not compiled into this installation. With nvcc on PATH (or
CUDACXX naming it), from the repository root:
    pip install --force-reinstall --no-deps -v ."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    add = parser.add_argument
    add("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    add("--budget", type=float, default=600.0, help="seconds for all of it")
    add("--rounds", type=int, default=50, help="samples of each candidate, at most")
    add("--quick", action="store_true", help="float32, fewer peers, sizes and samples")
    add("--dry-run", action="store_true", help="on a machine without a GPU: all but the figures")
    add("--out", type=Path, default=RESULTS, help="folder of the JSON and CSV files")
    return parser.parse_args()


def _installation(machine: Machine) -> Iterator[Outcome]:
    vk.show_config()
    for backend in GPU_BACKENDS:
        why = why_unavailable(backend)
        passed = None if why and not machine.is_gpu else why is None
        yield Outcome(f"backend {backend} can be used", passed, why or "")
    if native.cuda is None:
        print(_NOT_COMPILED)


def _command(command: Command, budget: Budget, total: float, dry: bool) -> Outcome:
    print(f"\n$ {command}", flush=True)
    if dry:
        return Outcome(command.name, None, "dry run")
    if command.missing:
        return Outcome(command.name, None, command.missing)
    fault = command.fault(min(budget.left, command.share * total))
    return Outcome(command.name, fault is None, fault or "")


def _check(name: str, fault: str | None, dry: bool) -> Outcome:
    if fault is None and dry:
        return Outcome(name, None, "dry run: its code ran on the CPU in place of the device")
    return Outcome(name, fault is None, fault or "")


def _checks(machine: Machine, options: argparse.Namespace, budget: Budget) -> Iterator[Outcome]:
    yield from _installation(machine)
    dry, total = not machine.is_gpu, options.budget
    if "tests" in options.phases:
        yield _command(commands.parity_tests(), budget, total, dry)
    if "sanitizer" in options.phases:
        if dry:
            print(f"\n{every_op.run('best', machine.device)} steps of the sanitizer's driver ran")
        for backend in GPU_BACKENDS if dry else machine.backends:
            for command in commands.sanitizer(backend):
                yield _command(command, budget, total, dry)
    for backend in machine.backends:
        for phase, fault in (("graphs", checks.graph_fault), ("streams", checks.streams_fault)):
            if phase in options.phases:
                yield _check(f"{phase}, backend {backend}", fault(machine, backend), dry)


def _benchmarks(
    machine: Machine, options: argparse.Namespace, budget: Budget
) -> tuple[float, list[Figures], list[str]]:
    clock = DeviceClock(machine.cache_bytes) if machine.is_gpu else DryClock()
    rounds = options.rounds if machine.is_gpu else 0
    if options.quick:
        rounds = min(rounds, 15)
    bandwidth = copy_bandwidth(machine, clock, rounds, seconds=5.0)
    if machine.is_gpu:
        print(f"\ncopy bandwidth, read and written: {bandwidth / 1e9:.0f} GB/s")
    planned = tables(machine, quick=options.quick)
    report = print_figures if machine.is_gpu else _print_without_figures
    figures, missing = run_tables(planned, machine, clock, rounds, budget, report)
    return bandwidth, figures, missing


def _print_without_figures(figures: Figures) -> None:
    print(f"ran {figures.table.name}: {', '.join(figures.timings)}")
    for name, why in figures.excluded.items():
        print(f"  {name}: {why}")


def _print_plan(quick: bool) -> None:
    """What a GPU with enough memory would be given."""
    print("\nwould measure")
    for table in tables(imagined(), quick=quick):
        providers = ", ".join(provider.name for provider in table.providers)
        print(f"  {table.name} ({table.workload.sizes}): {providers}, {COPY}")
    print()


def run(machine: Machine, options: argparse.Namespace) -> Run:
    budget = Budget(options.budget)
    outcomes = []
    for outcome in _checks(machine, options, budget):
        print(outcome, flush=True)
        outcomes.append(outcome)
    bandwidth: float | None = None
    rows: list[Row] = []
    not_measured: list[str] = []
    if "benchmarks" in options.phases:
        bandwidth, figures, not_measured = _benchmarks(machine, options, budget)
        rows = [row for table in figures for row in table.rows()]
        outcomes += [
            Outcome(f"{f.table.workload.name}, {name}", False, why)
            for f in figures
            for name, why in f.excluded.items()
            if name.startswith("vaekern")
        ]
    return Run(
        environment=machine.describe(),
        options={name: str(value) for name, value in vars(options).items()},
        config=config(),
        outcomes=outcomes,
        copy_bandwidth=bandwidth,
        rows=rows,
        not_measured=not_measured,
    )


def _summary(found: Run) -> None:
    print("\nsummary")
    for outcome in found.outcomes:
        print(f"  {outcome}")
    for name in found.not_measured:
        print(f"  not measured: {name}")


def main() -> None:
    options = _options()
    if options.dry_run:
        _print_plan(options.quick)
        found = run(stand_in(), options)
        found.to_json()
        _summary(found)
        print("\nDry run: no GPU took part, and no GPU figure was measured.")
    elif not torch.cuda.is_available():
        sys.exit("bench.gpu: torch finds no GPU here (--dry-run goes through without one)")
    else:
        machine = gpu()
        found = run(machine, options)
        _summary(found)
        found.save(options.out, machine)
    sys.exit(1 if found.failed else 0)


if __name__ == "__main__":
    main()
