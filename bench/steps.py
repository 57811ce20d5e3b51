"""The main suite: whole steps, forward and backward, of every workload by every provider."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import torch

from bench import bandwidth
from bench.correctness import Oracle
from bench.providers import PROVIDERS, Provider
from bench.report import Results, print_table
from bench.timing import Call, Timing, interleaved
from bench.workloads import WORKLOADS, Problem, Workload

_OURS = "vaekern"
_PROBES = {
    "add(out=), same buffers": bandwidth.add_in_place,
    "add(out=), uncached": bandwidth.add_uncached,
}


def run(
    workloads: Sequence[str],
    providers: Sequence[str],
    dtypes: Sequence[torch.dtype],
    rounds: int,
    seconds: float,
    results: Results,
) -> None:
    for dtype in dtypes:
        for name in workloads:
            workload = WORKLOADS[name]
            bytes_to_move = workload.bytes_to_move(dtype)
            print(f"\n{workload.name} {dtype_name(dtype)}: {_description(workload)}")
            calls, excluded = checked_steps(workload, dtype, [PROVIDERS[p] for p in providers])
            probes = {probe: make(bytes_to_move) for probe, make in _PROBES.items()}
            timings = interleaved(calls | probes, rounds, seconds)
            _print(timings, bytes_to_move, excluded)
            for candidate, timing in timings.items():
                results.add(result_row(name, dtype, candidate, timing, bytes_to_move))
            torch.compiler.reset()


def checked_steps(
    workload: Workload, dtype: torch.dtype, providers: Sequence[Provider]
) -> tuple[dict[str, Call], dict[str, str]]:
    """A step of every provider that is right, and why the others are left out."""
    problem = workload.make(dtype)
    oracle = Oracle(problem, workload.family)
    calls: dict[str, Call] = {}
    excluded: dict[str, str] = {}
    for provider in providers:
        why, call = _check(provider, workload.family, problem, oracle)
        if call is not None:
            calls[provider.name] = call
        elif why is not None:
            excluded[provider.name] = why
    problem.forget_gradients()
    return calls, excluded


def _check(
    provider: Provider, family: str, problem: Problem, oracle: Oracle
) -> tuple[str | None, Call | None]:
    form = provider.form(family)
    if form is None:
        return None, None
    try:
        fault = oracle.fault(form)
    except Exception as error:  # a peer that does not run here is no reason to stop
        return f"FAILED: {type(error).__name__}: {str(error).strip().splitlines()[0]}", None
    if fault is not None:
        return f"WRONG, not timed: {fault}", None
    return None, functools.partial(problem.step, form)


def result_row(
    workload: str, dtype: torch.dtype, candidate: str, timing: Timing, bytes_to_move: int
) -> dict[str, str]:
    return {
        "workload": workload,
        "dtype": dtype_name(dtype),
        "provider": candidate,
        "median_ms": f"{timing.median * 1e3:.4g}",
        "p20_ms": f"{timing.p20 * 1e3:.4g}",
        "p80_ms": f"{timing.p80 * 1e3:.4g}",
        "samples": str(timing.samples),
        "gb_per_s": f"{bytes_to_move / timing.median / 1e9:.4g}",
    }


def _print(timings: Mapping[str, Timing], bytes_to_move: int, excluded: Mapping[str, str]) -> None:
    ours = timings.get(_OURS)
    probe = timings["add(out=), same buffers"].median
    rows = []
    for name, t in timings.items():
        relative = f"{t.median / ours.median:.2f}" if ours and name not in _PROBES else ""
        times = [f"{seconds * 1e3:.3f}" for seconds in (t.median, t.p20, t.p80)]
        speed = f"{bytes_to_move / t.median / 1e9:.1f}"
        rows.append([name, *times, relative, speed, f"{100.0 * probe / t.median:.0f} %"])
    samples = next(iter(timings.values())).samples
    print(f"  at least {bytes_to_move / 1e6:.2f} MB to move; {samples} samples each")
    header = ["provider", "median ms", "p20", "p80", f"/ {_OURS}", "GB/s", "of add(out=)"]
    print_table(header, rows)
    for name, why in excluded.items():
        print(f"  {name}: {why}")
    peers = {n: t for n, t in timings.items() if n in PROVIDERS and PROVIDERS[n].is_peer}
    if ours and peers:
        best = min(peers, key=lambda name: peers[name].median)
        ratio = peers[best].median / ours.median
        print(f"  best peer / {_OURS}: {ratio:.2f} ({best})")


def _description(workload: Workload) -> str:
    data = f"data {_times(workload.data)}, " if workload.data else ""
    return f"{workload.what}; {data}latent {_times(workload.latent)}"


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
