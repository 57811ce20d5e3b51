"""The phases: each finds something out, and hands it to the record at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import torch

import vaekern as vk
from bench.gpu import checks, commands, every_op
from bench.gpu.commands import Command
from bench.gpu.machine import GPU_BACKENDS, Machine, imagined, why_unavailable
from bench.gpu.measure import COPY, Budget, Figures, copy_bandwidth, run_tables
from bench.gpu.report import Outcome, Record, print_figures
from bench.gpu.sizes import tables
from bench.gpu.timing import DeviceClock, DryClock

Options = argparse.Namespace
Phase = Callable[[Machine, Options, Budget, Record], None]

_QUICK_ROUNDS = 15


def build(machine: Machine, options: Options, budget: Budget, record: Record) -> None:
    """Installs this folder, without a network."""
    capability = None
    if options.quick and machine.is_gpu:
        capability = "{}{}".format(*torch.cuda.get_device_capability(0))
    _run_all([commands.installation(capability), commands.installed()], machine, budget, record)


def tests(machine: Machine, options: Options, budget: Budget, record: Record) -> None:
    _installation(machine, record)
    _run_all(commands.parity_tests(quick=options.quick), machine, budget, record)


def sanitizer(machine: Machine, options: Options, budget: Budget, record: Record) -> None:
    _installation(machine, record)
    if not machine.is_gpu:
        print(f"\n{every_op.run('best', machine.device, few=False)} steps of its driver ran")
    backends = machine.backends if machine.is_gpu else GPU_BACKENDS
    wanted = [c for backend in backends for c in commands.sanitizer(backend, quick=options.quick)]
    _run_all(wanted, machine, budget, record)


def graphs(machine: Machine, options: Options, budget: Budget, record: Record) -> None:
    _installation(machine, record)
    for backend in machine.backends:
        named = f"backend {backend}"
        if backend != "triton":  # its kernels are compiled by their first launch
            fault = checks.graph_fault(machine, backend, warm=False)
            _check(f"graphs, nothing run before, {named}", fault, machine, record)
        _check(f"graphs, {named}", checks.graph_fault(machine, backend), machine, record)
        _check(f"streams, {named}", checks.streams_fault(machine, backend), machine, record)
        if machine.is_gpu and torch.cuda.device_count() < 2:
            record.add(Outcome(f"another device, {named}", None, "there is one GPU"))
        else:
            fault = checks.other_device_fault(machine, backend)
            _check(f"another device, {named}", fault, machine, record)


def benchmarks(machine: Machine, options: Options, budget: Budget, record: Record) -> None:
    _installation(machine, record)
    if not machine.is_gpu:
        _print_plan(quick=options.quick)
    clock = DeviceClock(machine.cache_bytes) if machine.is_gpu else DryClock()
    rounds = options.rounds if machine.is_gpu else 0
    if options.quick:
        rounds = min(rounds, _QUICK_ROUNDS)
    bandwidth = copy_bandwidth(machine, clock, rounds, seconds=5.0)
    if machine.is_gpu:
        record.bandwidth(bandwidth)
        print(f"\ncopy bandwidth, read and written: {bandwidth / 1e9:.0f} GB/s")

    def report(figures: Figures) -> None:
        (print_figures if machine.is_gpu else _print_without_figures)(figures)
        record.figures(figures)

    planned = tables(machine, quick=options.quick)
    run_tables(planned, machine, clock, rounds, budget, report, record.missing)


PHASES: dict[str, Phase] = {
    phase.__name__: phase for phase in (build, tests, sanitizer, graphs, benchmarks)
}


def _installation(machine: Machine, record: Record) -> None:
    vk.show_config()
    for backend in GPU_BACKENDS:
        why = why_unavailable(backend)
        passed = None if why and not machine.is_gpu else why is None
        record.add(Outcome(f"backend {backend} can be used", passed, why or ""))


def _run_all(wanted: Sequence[Command], machine: Machine, budget: Budget, record: Record) -> None:
    """Each may take an equal share of the time that those before have left."""
    for done, command in enumerate(wanted):
        print(f"\n$ {command}", flush=True)
        if not machine.is_gpu:
            record.add(Outcome(command.name, None, "dry run"))
        elif command.missing:
            record.add(Outcome(command.name, None, command.missing))
        else:
            assert record.log is not None
            fault = command.fault(budget.share(len(wanted) - done), record.log)
            record.add(Outcome(command.name, fault is None, fault or ""))


def _check(name: str, fault: str | None, machine: Machine, record: Record) -> None:
    if fault is None and not machine.is_gpu:
        why = "dry run: its code ran on the CPU in place of the device"
        record.add(Outcome(name, None, why))
    else:
        record.add(Outcome(name, fault is None, fault or ""))


def _print_without_figures(figures: Figures) -> None:
    print(f"ran {figures.table.name}: {', '.join(figures.timings)}")
    for name, why in figures.excluded.items():
        print(f"  {name}: {why}")


def _print_plan(*, quick: bool) -> None:
    """What a GPU with enough memory would be given."""
    print("\nwould measure")
    for table in tables(imagined(), quick=quick):
        providers = ", ".join(provider.name for provider in table.providers)
        print(f"  {table.name} ({table.workload.sizes}): {providers}, {COPY}")
    print()
