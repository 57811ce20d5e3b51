"""What ``test_triton_prepared.py`` asks of Triton's own compiler: launches that are prepared by the
layout of their tensors are Triton's own, without its looking for the kernel.

``python tests/gpu/triton_jit_prepared.py`` prints how much Python there is before the driver, with
Triton's own looking and without it.
"""

from __future__ import annotations

import gc
import sys
import time
import weakref
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from triton_jit import find_helpers
from triton_jit_layouts import (
    LAYOUTS,
    ROWS,
    SAMPLE,
    Run,
    bernoulli,
    elements,
    full,
    launch_of,
    rows,
)

from vaekern._backends.launch import (
    ROW_SUM,
    Noise,
    Output,
)
from vaekern._backends.triton import prepared
from vaekern._backends.triton.loops import add_up, multiply, visit
from vaekern._backends.triton.mixture import visit_mixture
from vaekern._backends.triton.softmax_kl import visit_categorical_kl
from vaekern._backends.triton.softmax_samples import visit_samples

if TYPE_CHECKING:
    from triton_jit import Launched, Real


def _seen(real: Real, run: Run) -> list[Launched]:
    real.driver.launches.clear()
    run()
    return list(real.driver.launches)


def same_launches(real: Real, names: list[str]) -> None:
    """Of all layouts, with those of the others in between: what the driver is told when a launch
    is prepared is what Triton tells it, and nothing is compiled for it."""
    assert names == list(LAYOUTS)
    by_triton = {}
    runs = {name: make() for name, make in LAYOUTS.items()}
    for name, run in runs.items():
        prepared.forget()
        by_triton[name] = _seen(real, run)
    kernels = {launch.hash for launches in by_triton.values() for launch in launches}
    assert len(kernels) > 20
    compiled = real.compiled.total()
    prepared.forget()
    for _ in range(3):
        for name, run in runs.items():
            assert _seen(real, run) == by_triton[name], name
    assert real.compiled.total() == compiled
    assert len(prepared._remembered) >= len(LAYOUTS)


def arguments_are_the_calls(real: Real) -> None:
    """Tensors and numbers of the layout of an earlier call, not that call's."""
    kept = []
    for factor in (-0.5, -0.25, 0.0, 1.0):
        x, out = full(), full()
        kept += [x, out]  # so that the next ones lie elsewhere
        total = Output(ROW_SUM, torch.zeros(()), (0,))
        run = bernoulli("value_and_vjp", [factor, x, x], [total, elements(out), None])
        found = _seen(real, run)
        prepared.forget()
        assert _seen(real, run) == found
        told = repr(found[0].args)
        assert told.count(str(x.data_ptr())) == 2
        assert told.count(str(out.data_ptr())) == 1


def nothing_is_kept(real: Real) -> None:
    """No tensor outlives its call."""
    for _ in range(3):
        mu, seed = full(cols=20), torch.zeros(2, dtype=torch.int64)
        z, kl = full(cols=20), torch.zeros(ROWS)
        outputs = [elements(z), Output(ROW_SUM, kl, None)]
        launch_of((SAMPLE, "logvar", "value"), [mu, mu, Noise(seed)], outputs)()
        ends = [weakref.ref(t) for t in (mu, seed, z, kl)]
        del mu, seed, z, kl, outputs
        gc.collect()
        assert not any(end() is not None for end in ends)


def devices_are_told_apart(real: Real) -> None:
    LAYOUTS["dense"]()()
    before = len(prepared._remembered)
    with torch.device("meta"):
        LAYOUTS["dense"]()()
    assert len(prepared._remembered) == before + 1


def few_are_remembered(real: Real) -> None:
    most, prepared._MOST = prepared._MOST, 3
    try:
        for cols in range(2, 12):
            bernoulli("value", [full(cols=cols), full(cols=cols)], [rows()])()
            assert len(prepared._remembered) <= 3
    finally:
        prepared._MOST = most


# --- who watches ----------------------------------------------------------------------------------


def hooks_are_called(real: Real) -> None:
    from triton import knobs

    functions = (visit, add_up, multiply, visit_mixture, visit_categorical_kl, visit_samples)
    before, entered = [], []
    watched = ("column sums", "scaling", "mixture", "divergence", "relaxed sample")
    runs = [LAYOUTS[name]() for name in watched]
    for run in runs:
        run()
    for function in functions:
        function.add_pre_run_hook(lambda *args, **kwargs: before.append(kwargs["debug"]))
    try:
        launched = [len(_seen(real, run)) for run in runs]
        assert len(before) == sum(launched)
    finally:
        for function in functions:
            function.pre_run_hooks.clear()

    def enter(metadata: Any) -> None:
        entered.append(metadata)

    knobs.runtime.launch_enter_hook, of_triton = enter, knobs.runtime.launch_enter_hook
    try:
        for run in runs:
            told = [launch.enter for launch in _seen(real, run)]
            assert told
            assert all(hook is not None for hook in told)
    finally:
        knobs.runtime.launch_enter_hook = of_triton
    assert _seen(real, runs[0])[0].enter == of_triton


def debugging_finds_its_own_kernels(real: Real) -> None:
    """Switched on later, and off again."""
    from triton import knobs

    run = LAYOUTS["dense"]()
    run()
    plain = _seen(real, run)
    knobs.runtime.debug = True
    try:
        with_checks = [_seen(real, run) for _ in range(2)]
    finally:
        knobs.runtime.debug = False
    assert with_checks[0] == with_checks[1] != plain
    assert _seen(real, run) == plain
    prepared.forget()  # first used while it was on
    knobs.runtime.debug = True
    try:
        assert _seen(real, run) == with_checks[0]
    finally:
        knobs.runtime.debug = False
    assert _seen(real, run) == plain


# --- how much Python ------------------------------------------------------------------------------


def _frames(run: Run) -> int:
    """Python functions called."""
    found = 0

    def count(_: Any, event: str, __: Any) -> None:
        nonlocal found
        found += event == "call"

    sys.setprofile(count)
    run()
    sys.setprofile(None)
    return found


def _microseconds(run: Run, repeats: int = 50) -> float:
    """The least of several."""

    def once() -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        return (time.perf_counter() - start) / repeats * 1e6

    return min(once() for _ in range(20))


def _by_triton(run: Run) -> None:
    """Without the kernel that was found before."""
    watched, prepared._watched = prepared._watched, lambda _: True
    try:
        run()
    finally:
        prepared._watched = watched


def python_before_the_driver(real: Real) -> Iterator[dict[str, Any]]:
    """For each launch of a training step."""
    for name in ("dense", "one pass", "halves", "both gradients", "divergence", "relaxed sample"):
        run = LAYOUTS[name]()
        run()
        launches = len(_seen(real, run))
        real.driver.notes = False
        for way, go in (("triton", partial(_by_triton, run)), ("prepared", run)):
            yield {
                "launch": name,
                "way": way,
                "launches": launches,
                "frames": _frames(go),
                "microseconds": round(_microseconds(go), 1),
            }
        real.driver.notes = True


def little_python(real: Real, most_frames: int) -> None:
    """And less than in Triton's own launch, whatever the version looks kernels up with."""
    rows = iter(list(python_before_the_driver(real)))
    for by_triton, own in zip(rows, rows, strict=True):
        assert own["frames"] <= most_frames * own["launches"], own
        assert own["frames"] < by_triton["frames"], own


def main() -> None:
    from triton_jit import PTX, Real

    real = Real()
    with real.compiling(90, PTX):
        for row in python_before_the_driver(real):
            print(*[f"{key} {value}" for key, value in row.items()], sep=", ")


if __name__ == "__main__":
    find_helpers()
    main()
