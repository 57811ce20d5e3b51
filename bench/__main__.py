"""``python -m bench SUITE ...``: steps (the default), kernels, memory, sweep, train and others."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from bench.harness import plot
from bench.harness.measure import Effort
from bench.harness.report import RESULTS, Results, print_environment
from bench.problems.families import OPS
from bench.problems.models import MODELS
from bench.problems.providers import BACKENDS, PEERS, Provider, selected
from bench.problems.workloads import WORKLOADS
from bench.suites import (
    compare,
    distributions,
    kernels,
    last_layer,
    memory,
    overhead,
    steps,
    sweep,
    train,
)
from vaekern._backends import native

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

_Options = argparse.Namespace


def _effort(options: _Options) -> Effort:
    return Effort(options.rounds, options.seconds)


def _dtypes(options: _Options) -> list[torch.dtype]:
    return [_DTYPES[name] for name in options.dtypes]


def _providers(options: _Options) -> list[Provider]:
    return selected(options.peers, options.backends)


def _steps(o: _Options, results: Results) -> None:
    steps.run(o.workloads, _providers(o), _dtypes(o), _effort(o), results)


def _kernels(o: _Options, results: Results) -> None:
    kernels.run(o.ops, o.shape, _effort(o), results)


def _memory(o: _Options, results: Results) -> None:
    memory.run(o.workloads, _providers(o), _dtypes(o), results)


def _sweep(o: _Options, results: Results) -> None:
    sweep.run(o.ops, o.exponents, _providers(o), _dtypes(o), _effort(o), results)


def _train(o: _Options, results: Results) -> None:
    train.run(o.models, o.candidates, o.batch_size, _effort(o), results)


def _last_layer(o: _Options, results: Results) -> None:
    last_layer.run(o.likelihoods, o.candidates, o.shape, _effort(o), results)


def _overhead(o: _Options, results: Results) -> None:
    overhead.run(o.calls, o.sizes, _providers(o), _effort(o), results)


def _distributions(o: _Options, results: Results) -> None:
    distributions.run(o.families, _effort(o), results)


_Run = Callable[[_Options, Results], None]

# --- options --------------------------------------------------------------------------------------


def _choice(parser: argparse.ArgumentParser, name: str, all_: Sequence[str], *few: str) -> None:
    """Some of ``all_``; all of them, or the ``few``, unless told."""
    default = list(few or all_)
    parser.add_argument(f"--{name}", nargs="*", choices=all_, default=default, metavar="NAME")
    parser.epilog = f"{parser.epilog or ''} {name}: {', '.join(all_)}."


def _provider_options(parser: argparse.ArgumentParser, *peers: str) -> None:
    _choice(parser, "peers", list(PEERS), *peers)
    _choice(parser, "backends", BACKENDS, "best")


def _effort_options(parser: argparse.ArgumentParser, seconds: float) -> None:
    parser.add_argument("--rounds", type=int, default=50, help="samples of a candidate, at most")
    parser.add_argument("--seconds", type=float, default=seconds, help="soft limit of each table")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench")
    suites = parser.add_subparsers(required=True, metavar="SUITE")

    def suite(name: str, run: _Run, what: str) -> argparse.ArgumentParser:
        own = suites.add_parser(name, help=what, description=what)
        own.set_defaults(run=run, suite=name)
        own.add_argument("--threads", nargs="+", type=int, help="one run for each number")
        own.add_argument("--csv", action="store_true", help="append the results to bench/results/")
        own.add_argument("--plot", type=Path, metavar="FOLDER", help="draw them into PNGs there")
        return own

    own = suite("steps", _steps, "whole steps of the workloads: the default")
    _choice(own, "workloads", list(WORKLOADS))
    _choice(own, "dtypes", list(_DTYPES))
    _provider_options(own)
    _effort_options(own, 15.0)

    own = suite("kernels", _kernels, "kernels alone, for each instruction set")
    _choice(own, "ops", OPS)
    own.add_argument("--shape", nargs=2, type=int, default=kernels.SHAPE)
    _effort_options(own, 15.0)

    own = suite("memory", _memory, "what a step saves for the backward, and its peak")
    _choice(own, "workloads", list(WORKLOADS))
    _choice(own, "dtypes", list(_DTYPES))
    _provider_options(own)

    own = suite("sweep", _sweep, "every operation by itself over sizes")
    _choice(own, "ops", OPS)
    own.add_argument("--exponents", nargs="+", type=int, default=range(8, 27, 2), help="of 2")
    _choice(own, "dtypes", list(_DTYPES), "fp32")
    _provider_options(own, "eager", "compile-eager")
    _effort_options(own, 2.0)

    own = suite("train", _train, "training steps of whole models, and the loss's share of them")
    _choice(own, "models", list(MODELS))
    _choice(own, "candidates", list(train.CANDIDATES))
    own.add_argument("--batch-size", type=int, nargs="+", help="default: the model's")
    _effort_options(own, 30.0)

    own = suite("last_layer", _last_layer, "a linear layer with many outputs and their likelihood")
    _choice(own, "likelihoods", last_layer.LIKELIHOODS)
    _choice(own, "candidates", last_layer.CANDIDATES)
    own.add_argument("--shape", nargs=3, type=int, default=last_layer.SHAPE)
    _effort_options(own, 120.0)

    own = suite("overhead", _overhead, "what every public call costs on small tensors")
    _choice(own, "calls", overhead.CALLS)
    _choice(own, "sizes", overhead.SIZES)
    _provider_options(own, "eager")
    _effort_options(own, 2.0)

    own = suite("distributions", _distributions, "log-probabilities of torch.distributions")
    _choice(own, "families", list(distributions.FAMILIES))
    _effort_options(own, 1.0)

    own = suites.add_parser("plot", help="figures of a commit's results, as --plot draws them")
    own.set_defaults(suite="plot")
    own.add_argument("results", help="a CSV file, or how a commit begins that has results")
    own.add_argument("folder", type=Path, help="where to draw the PNGs")
    own.add_argument("--files", nargs="*", type=Path, default=[], help="where to find commits")

    own = suites.add_parser("compare", help="two commits, or two CSV files, side by side")
    own.set_defaults(suite="compare")
    own.add_argument("a", help="a CSV file, or how a commit begins that has results")
    own.add_argument("b", help="likewise")
    own.add_argument("--files", nargs="*", type=Path, default=[], help="where to find commits")
    return parser


def _parse(arguments: Sequence[str]) -> _Options:
    """Options alone are those of the first suite."""
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help")):
        arguments = ["steps", *arguments]
    return _parser().parse_args(arguments)


def _default_threads(suite: str) -> list[int]:
    """Torch's number; kernels and calls on one thread as well."""
    threads = torch.get_num_threads()
    return sorted({1, threads}) if suite in ("kernels", "overhead") else [threads]


def main() -> None:
    options = _parse(sys.argv[1:])
    if options.suite == "compare":
        return compare.run(options.a, options.b, options.files)
    if options.suite == "plot":
        plot.require_matplotlib()
        return plot.draw(compare.select(options.results, options.files), options.folder)
    if native.core is None:
        sys.exit(f"nothing to measure: {native.why_missing}")
    if options.plot is not None:
        plot.require_matplotlib()
    results = Results("memory" if options.suite == "memory" else "", RESULTS)
    for threads in options.threads or _default_threads(options.suite):
        torch.set_num_threads(threads)
        print_environment()
        print(f"load average before the run: {os.getloadavg()[0]:.2f}")
        options.run(options, results)
    if options.csv:
        results.save()
    if options.plot is not None:
        plot.draw(results.rows, options.plot)


if __name__ == "__main__":
    main()
