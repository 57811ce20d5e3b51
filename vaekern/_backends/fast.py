"""The fast path of the compiled kernels: one call into the extension, which reads and makes torch
tensors through DLPack's C exchange API (torch 2.10 and later), and asks it for a GPU's stream.

It is optimistic and has no semantics of its own: where anything at all is irregular (a subclass, a
mode, a shape that broadcasts, an argument that is wrong) it does nothing and returns None, and the
path in Python, with its checks and messages, takes over.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from vaekern._backends.cpu import threads_for
from vaekern._backends.native import KERNELS, core
from vaekern._torch import backward_keeps_graph, exchange_api, watchers

#: What an argument may be: floating point; that, bytes or booleans; probabilities, which bytes
#: never give as -1 .. 1; levels that get no gradient; counts; a number or a tensor that broadcasts,
#: and where a vector has a number for each channel; noise or its seed; a number between 0 and 1.
FLOAT, TARGET, PROBABILITY, LEVELS, COUNTS, SHARED, SPREAD, NOISE, SHARE = (
    "float",
    "target",
    "probability",
    "levels",
    "counts",
    "shared",
    "spread",
    "noise",
    "share",
)


class _Bytes:
    """Whether bytes that are read as intensities still deserve a look (``functional/targets.py``),
    which the fast path does not take."""

    unclear = True


first_bytes = _Bytes()


def _nothing(*_: Any) -> None:
    return None


class Plan(NamedTuple):
    """An operation's functions in the extension: see ``csrc/exchange/call.h``."""

    attempt: Callable[..., Any] = _nothing
    value: Callable[..., Any] = _nothing
    vjp: Callable[..., Any] = _nothing
    backward: Callable[..., Any] = _nothing
    both: Callable[..., Any] = _nothing
    partials: Callable[..., Any] = _nothing


#: Of operations without a fast path.
NO_PLAN = Plan()

usable = (
    core is not None
    and exchange_api is not None
    and core.use_torch(
        exchange_api,
        Tensor,
        torch.nn.Parameter,
        torch.Generator,
        watchers,
        forward_ad,
        torch.is_grad_enabled,
        Tensor.is_neg,
        threads_for,
        first_bytes,
        backward_keeps_graph,
    )
)

#: (upstream gradients, saved tensors, what needs a gradient) -> what a node of the autograd graph
#: returns that has made its gradients before: on the CPU where they are wanted as they are, on GPUs
#: times the upstream gradient; else None.
stored_gradients: Callable[..., Any] = (
    core.stored_gradients if core is not None and usable else _nothing
)


def _as_it_is(otherwise: Any) -> Any:
    return otherwise


#: The ``forward`` of a kind of node, and what is called for its backward where ``otherwise`` was:
#: see ``csrc/exchange/node.h``.
node_forward: Callable[..., Any] = core.node_forward if core is not None else _nothing
node_backward: Callable[..., Any] = core.node_backward if core is not None else _as_it_is


def kernel_of(op: Any, function: str, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """What runs an operation, called by torch's dispatcher or by compiled code in its place: where
    gradients are off, the ``function`` of its plan; ``otherwise`` where that does nothing, or they
    are on."""
    if core is None:
        return otherwise
    kernel: Callable[..., Any] = core.kernel_of(op, Plan._fields.index(function), otherwise)
    return kernel


def plan_of(
    op: Any,
    apply: Callable[..., Any],
    draw: tuple[Any, ...],
    takes: Sequence[str],
    by_datapoint: Sequence[bool],
    scales: Sequence[str],
) -> Plan:
    """Of an operation whose inputs and numbers are what it ``takes``. ``apply(made, *inputs)``
    makes a node of the autograd graph, ``draw`` says how to draw a seed (``_ops/seed.py``)."""
    if not usable or not takes:
        return NO_PLAN
    assert core is not None
    kernels = {scale: _kernels_of(op.name, scale) for scale in scales}
    return Plan(
        *core.functions_of_plan(
            op,
            apply,
            draw,
            functools.lru_cache(op.told),
            takes,
            len(op.inputs),
            by_datapoint,
            op.vjp_inputs,
            op.maskable,
            op.uint8_range,
            kernels,
        )
    )


def _kernels_of(name: str, scale: str) -> tuple[int, int, int, float]:
    """The numbers of a scale's kernels, -1 for none, and the factor that their launches take."""
    missing = -1, 1.0
    found = [KERNELS.get((name, scale, v), missing) for v in ("value", "vjp", "value_and_vjp")]
    (value, factor), (vjp, _), (both, _) = found
    return value, vjp, both, factor


def plan_of_rows(op: Any, apply: Callable[..., Any], sums: str) -> Plan:
    """Of an operation of rows (``_ops/rows.py``), which the kernel of ``sums`` adds up."""
    if not usable:
        return NO_PLAN
    assert core is not None
    value, vjp, *_ = _kernels_of(op.name, "")
    of_counts = len(op.kept) > 1
    sum_, *_ = _kernels_of(sums, "")
    return Plan(*core.functions_of_rows(op, apply, of_counts, value, vjp, sum_))


def plan_of_mixture(op: Any, apply: Callable[..., Any], planes: int) -> Plan:
    """Of an operation of mixtures (``_ops/mixture.py``)."""
    if not usable:
        return NO_PLAN
    assert core is not None
    return Plan(*core.functions_of_mixture(op, apply, planes))


def plan_of_softmax(op: Any, apply: Callable[..., Any], draw: tuple[Any, ...], kind: str) -> Plan:
    """Of an operation over rows of logits (``_ops/softmax.py``): a "divergence", "sample" or
    "relaxed" one."""
    if not usable:
        return NO_PLAN
    assert core is not None
    return Plan(*core.functions_of_softmax(op, apply, draw, kind))


def loss_of(
    likelihood: Plan,
    divergence: Plan,
    owner: Any,
    apply: Callable[..., Any],
    results: Callable[..., Any],
) -> Callable[..., Any]:
    """``attempt`` of a loss: see ``csrc/exchange/one_pass.h``. ``apply(made, *tensors)`` makes its
    node of the autograd graph, which knows its ``owner``; ``results`` are what it gives of the
    values of each datapoint."""
    if NO_PLAN in (likelihood, divergence):
        return _nothing
    assert core is not None
    attempt: Callable[..., Any] = core.function_of_loss(
        likelihood.attempt, divergence.attempt, owner, apply, results, stored_gradients
    )
    return attempt


@contextlib.contextmanager
def only_for(backend: str, runners: object = None) -> Iterator[None]:
    """Keeps the fast path to calls of one backend inside, process-wide. ``runners`` take the CPU
    kernels' place where that backend is an emulated GPU's."""
    if not usable:
        yield
        return
    assert core is not None
    on_gpu = backend == "cuda" and runners is None
    before = core.allow_fast_path(backend == "cpu", on_gpu, runners)
    try:
        yield
    finally:
        core.allow_fast_path(*before)


def allowed(whether: bool) -> contextlib.AbstractContextManager[None]:
    """Turns the fast path off inside, process-wide, or leaves it as it is."""
    return contextlib.nullcontext() if whether else only_for("reference")
