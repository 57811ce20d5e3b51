"""What only a device shows: fresh noise when a CUDA graph is replayed, and streams side by side.

Both run on a CPU stand-in as well, where a replay is a new call and a stream is nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor

import vaekern as vk
from bench.gpu.machine import Machine
from bench.harness.correctness import Oracle
from bench.problems.providers import on_backend
from bench.problems.workloads import Problem, Workload

Results = tuple[Tensor, ...]
Capture = Callable[[Callable[[], Results], bool], Callable[[], Results]]

_REPLAYS = 4
_STREAMS = 4

#: Sizes that no block of threads divides.
_WORKLOAD = Workload("odd", "", "bernoulli_elbo", latent=(131, 21), data=(131, 785))


def graph_fault(machine: Machine, backend: str, *, warm: bool = True) -> str | None:
    """What is wrong with a captured step, forward and backward, when it is replayed. Unless it is
    ``warm``, the capture has its first run in this process."""
    problem = _WORKLOAD.make(torch.float32, device=machine.device)
    oracle = Oracle(problem, _WORKLOAD.family)
    form = on_backend(backend).form(_WORKLOAD.family_name)
    assert form is not None
    capture = _captured if machine.is_gpu else _called_again
    try:
        replay = capture(lambda: problem.step(form), warm)
    except RuntimeError as error:
        return f"the capture fails: {error}"
    seen: list[Tensor] = []
    for k in range(_REPLAYS):
        results = replay()
        machine.synchronize()
        fault = oracle.fault_of(results)
        if fault is not None:
            return f"replay {k}: {fault}"
        z = results[0].detach().clone()
        if any(torch.equal(z, earlier) for earlier in seen):
            return f"replay {k}: the noise repeats"
        seen.append(z)
    return None


def _captured(step: Callable[[], Results], warm: bool) -> Callable[[], Results]:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3 if warm else 0):  # whatever is set up once is set up before the capture
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = step()

    def replay() -> Results:
        graph.replay()
        return results

    return replay


def _called_again(step: Callable[[], Results], warm: bool) -> Callable[[], Results]:
    return step


def streams_fault(machine: Machine, backend: str) -> str | None:
    """Whether steps on several streams at once give, bit for bit, what each gives alone."""
    problems = [
        _WORKLOAD.make(torch.float32, seed=k, device=machine.device) for k in range(_STREAMS)
    ]
    with contextlib.ExitStack() as stack:
        if backend != "best":
            stack.enter_context(vk.backend(backend))
        machine.synchronize()
        alone = [_outcome(problem, seed) for seed, problem in enumerate(problems)]
        machine.synchronize()
        for k in range(_REPLAYS):
            together = []
            for seed, (problem, stream) in enumerate(zip(problems, _streams(machine), strict=True)):
                with stream:
                    together.append(_outcome(problem, seed))
            machine.synchronize()
            if not all(map(_same, alone, together)):
                return f"round {k}: results differ from those of one stream"
    return None


def other_device_fault(machine: Machine, backend: str) -> str | None:
    """What is wrong with a step on the second GPU while the first is current, and whether that is
    current afterwards. Without a GPU, the step is the CPU's."""
    device = torch.device("cuda:1") if machine.is_gpu else machine.device
    problem = _WORKLOAD.make(torch.float32, device=device)
    oracle = Oracle(problem, _WORKLOAD.family)
    form = on_backend(backend).form(_WORKLOAD.family_name)
    assert form is not None
    fault = oracle.fault_of(problem.step(form))
    if fault is None and machine.is_gpu and torch.cuda.current_device() != 0:
        return "the second device is still current afterwards"
    return fault


def _streams(machine: Machine) -> Sequence[AbstractContextManager[object]]:
    if machine.is_gpu:
        return [torch.cuda.stream(torch.cuda.Stream()) for _ in range(_STREAMS)]
    return [contextlib.nullcontext() for _ in range(_STREAMS)]


def _outcome(problem: Problem, seed: int) -> list[Tensor]:
    """Results and gradients of a step whose noise is that of a seed."""

    def form(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, Tensor]:
        z = vk.reparameterize(mu, logvar, seed=seed)
        return z, vk.elbo_loss(logits, x, mu, logvar)

    results = problem.step(form)
    gradients = [leaf.grad for leaf in problem.leaves.values()]
    return [*results, *[gradient for gradient in gradients if gradient is not None]]


def _same(a: Sequence[Tensor], b: Sequence[Tensor]) -> bool:
    return len(a) == len(b) and all(map(torch.equal, a, b))
