"""The ways that torch has of watching operations, and functions that call operations of ours."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from linear_layers import EACH_FUNCTION
from operations.every import ONE_PER_OP
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.flop_counter import FlopCounterMode

import vaekern as vk

Function = Callable[..., tuple[Tensor, ...]]
Watched = tuple[set[str], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Problem:
    """A function of tensors, other tensors to call what was recorded with, and the ops it calls."""

    label: str
    function: Function
    tensors: Sequence[Tensor]
    others: Sequence[Tensor]
    ops: frozenset[str]


def in_tuple(result: Any) -> tuple[Tensor, ...]:
    return result if isinstance(result, tuple) else (result,)


def _elbo(logits: Tensor, x: Tensor, mu: Tensor, logvar: Tensor) -> tuple[Tensor, ...]:
    return (vk.elbo_loss(logits, x, mu, logvar),)


def _normals(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(3, 4, generator=generator) for _ in range(4)]


def _mixture(params: Tensor, x: Tensor) -> tuple[Tensor, ...]:
    return (vk.logistic_mixture_log_likelihood(params, x),)


def _images(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(256, (2, 3, 2, 2), generator=generator, dtype=torch.uint8)
    return [torch.randn(2, 20, 2, 2, generator=generator), x]


PROBLEMS = (
    *[
        Problem(case.label, case.__call__, case.make((3, 4)), case.make((3, 4), seed=1),
                frozenset({case.op}))
        for case in ONE_PER_OP
    ],
    *[
        Problem(f"linear_{layer.label}", lambda *tensors, layer=layer: in_tuple(layer(*tensors)),
                layer.make(torch.float32), [t.clone() for t in layer.make(torch.float32)],
                frozenset({f"linear_{layer.label.partition('-')[0]}_log_likelihood"}))
        for layer in EACH_FUNCTION
    ],
    Problem("logistic_mixture", _mixture, _images(1), _images(2),
            frozenset({"logistic_mixture_log_likelihood"})),
    Problem("elbo_loss", _elbo, _normals(1), _normals(2),
            frozenset({"bernoulli_log_likelihood", "standard_kl"})),
)  # fmt: skip


def op_name(function: Any) -> str:
    return str(function).partition("vaekern.")[2].partition(".")[0]


# --- the ways ------------------------------------------------------------------------------------


def jit_trace(problem: Problem, tensors: Sequence[Tensor]) -> Watched:
    """Recorded, saved, loaded and called; decisions by shapes are no cause for torch's warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        traced = torch.jit.trace(problem.function, tuple(tensors))
    stored = io.BytesIO()
    torch.jit.save(traced, stored)
    stored.seek(0)
    loaded = torch.jit.load(stored)
    kinds = {node.kind() for node in loaded.inlined_graph.nodes()}
    assert "prim::PythonOp" not in kinds
    names = {kind.partition("vaekern::")[2] for kind in kinds}
    other = loaded(*problem.others)
    torch.testing.assert_close(other, problem.function(*problem.others))
    return names, loaded(*tensors)


def _by_make_fx(mode: str, pre_dispatch: bool) -> Callable[[Problem, Sequence[Tensor]], Watched]:
    def way(problem: Problem, tensors: Sequence[Tensor]) -> Watched:
        made = make_fx(problem.function, tracing_mode=mode, pre_dispatch=pre_dispatch)(*tensors)
        return {op_name(node.target) for node in made.graph.nodes}, made(*tensors)

    return way


class AsModule(torch.nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return self.function(*tensors)


def _exported(strict: bool) -> Callable[[Problem, Sequence[Tensor]], Watched]:
    def way(problem: Problem, tensors: Sequence[Tensor]) -> Watched:
        torch._dynamo.reset()
        program = torch.export.export(AsModule(problem.function), tuple(tensors), strict=strict)
        return {op_name(node.target) for node in program.graph.nodes}, program.module()(*tensors)

    return way


class _Functions(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_function__(self, function: Any, types: Any, args: Any = (),
                           kwargs: Any = None) -> Any:  # fmt: skip
        self.seen.add(op_name(function))
        return function(*args, **(kwargs or {}))


def function_mode(problem: Problem, tensors: Sequence[Tensor]) -> Watched:
    with _Functions() as mode:
        results = problem.function(*tensors)
    return mode.seen, results


def default_device(problem: Problem, tensors: Sequence[Tensor]) -> Watched:
    """``torch.device`` as a context, which ``torch.set_default_device`` enters."""
    with _Functions() as mode, torch.device("cpu"):
        results = problem.function(*tensors)
    return mode.seen, results


class _Unwrapped(Tensor):
    """Tensors of which every function is called with what they hold, as Pyro's provenance is."""

    seen: set[str]
    held: Tensor

    @classmethod
    def holding(cls, tensor: Tensor) -> _Unwrapped:
        wrapper = tensor.as_subclass(cls)
        wrapper.held = tensor
        return wrapper

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (),
                           kwargs: Any = None) -> Any:  # fmt: skip
        cls.seen.add(op_name(function))
        args, kwargs = tree_map(_held, (args, kwargs or {}))
        return tree_map(
            lambda t: cls.holding(t) if type(t) is Tensor else t, function(*args, **kwargs)
        )


def _held(value: Any) -> Any:
    return value.held if isinstance(value, _Unwrapped) else value


def unwrapping_subclass(problem: Problem, tensors: Sequence[Tensor]) -> Watched:
    _Unwrapped.seen = set()
    mixed = [t if k % 2 else _Unwrapped.holding(t) for k, t in enumerate(tensors)]
    results = problem.function(*mixed)
    return _Unwrapped.seen, tree_map(_held, results)


class _Dispatched(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (),
                           kwargs: Any = None) -> Any:  # fmt: skip
        self.seen.add(op_name(function))
        return function(*args, **(kwargs or {}))


def dispatch_mode(problem: Problem, tensors: Sequence[Tensor]) -> Watched:
    with _Dispatched() as mode:
        results = problem.function(*tensors)
    return mode.seen, results


def flop_counter(problem: Problem, tensors: Sequence[Tensor]) -> Watched:
    """With a formula for the op."""
    mapping = {getattr(torch.ops.vaekern, name): lambda *_, **__: 7 for name in problem.ops}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        results = problem.function(*tensors)
    seen = {op_name(op) for op, flops in counter.get_flop_counts()["Global"].items() if flops == 7}
    return seen, results


def profiler(problem: Problem, tensors: Sequence[Tensor]) -> Watched:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        results = problem.function(*tensors)
    seen = {event.name.partition("vaekern::")[2] for event in profile.events()}
    if any(event.name == "_OnePass" for event in profile.events()):
        seen |= problem.ops  # all of them in one: the profiler may time what is in use without it
    return seen, results


WAYS: dict[str, Callable[[Problem, Sequence[Tensor]], Watched]] = {
    "torch.jit.trace": jit_trace,
    "make_fx": _by_make_fx("real", False),
    "make_fx symbolic": _by_make_fx("symbolic", False),
    "make_fx pre_dispatch": _by_make_fx("real", True),
    "torch.export": _exported(False),
    "torch.export strict": _exported(True),
    "__torch_function__ mode": function_mode,
    "DeviceContext": default_device,
    "subclass that unwraps": unwrapping_subclass,
    "__torch_dispatch__ mode": dispatch_mode,
    "FlopCounterMode": flop_counter,
    "torch.profiler": profiler,
}
