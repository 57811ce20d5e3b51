"""The private torch names this package relies on, and what torch answers awkwardly, in one place.

All exist and behave alike from torch 2.6 to 2.15; ``tests/torch/test_compat.py`` checks each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed
from torch.autograd import forward_ad
from torch.distributions import kl
from torch.overrides import has_torch_function
from torch.utils import _pytree as pytree

_Function = TypeVar("_Function", bound=Callable[..., object])

#: Context manager: dispatch below the Autograd key.
below_autograd = torch._C._AutoDispatchBelowAutograd

#: Whether a ``torch.func`` transform (grad, vmap, jvp, ...) is running.
transforms_active = torch._C._are_functorch_transforms_active

_len_dispatch_modes = torch._C._len_torch_dispatch_stack
_recorder = torch._C._get_dispatch_mode
_PROXY = torch._C._TorchDispatchModeKey.PROXY
_set_tracing_state = torch._C._set_tracing_state  # type: ignore[attr-defined]
_is_of_old_vmap: Callable[[Tensor], bool] = torch._C._functorch.is_legacy_batchedtensor


#: Whether the profiler is recording operations.
profiler_active = torch._C._autograd._profiler_enabled


#: What ``torch.jit.trace`` records into, None where it does not.
tracing_state: Callable[[], Any] = torch._C._get_tracing_state

#: torch's table of functions by which extensions read and make tensors, None before torch 2.10.
exchange_api = getattr(Tensor, "__dlpack_c_exchange_api__", None)

#: Each answers false (0, None) where nobody watches operations: no transform, mode, tracer or
#: profiler.
watchers = (
    transforms_active,
    _len_dispatch_modes,
    torch._C._len_torch_function_stack,
    tracing_state,
    profiler_active,
)


def forward_mode_active() -> bool:
    """Whether dual numbers may be around (``torch.autograd.forward_ad``)."""
    return forward_ad._current_level >= 0


def dispatch_modes_active() -> bool:
    """Whether a ``TorchDispatchMode`` (fake tensors, tracing, counters) sees every operation."""
    return _len_dispatch_modes() > 0


def compiled_into_graph() -> bool:
    """Whether ``torch.compile`` records operations, forward and backward, as nodes of its graph:
    what dynamo has traced. (Before torch 2.13 nobody says so.)"""
    return torch.compiler.is_compiling() and _recorder(_PROXY) is not None


def stands_for_many(tensor: object) -> bool:
    """Whether this is one of the gradients that ``torch.autograd.grad(..., is_grads_batched=True)``
    pulls back together: by a vmap that is older than that of ``torch.func``, is no transform, and
    has no rules for other operations than torch's."""
    return isinstance(tensor, Tensor) and _is_of_old_vmap(tensor)


def by_new_vmap(function: Callable[..., Sequence[Tensor]], tensors: Sequence[Any]) -> list[Tensor]:
    """``function`` of tensors, and of None, some of which :func:`stand for many <stands_for_many>`:
    computed under ``torch.func.vmap``, for which everything here has rules."""
    mapped = [stands_for_many(tensor) for tensor in tensors]
    level, physical = 0, tensors
    while any(map(stands_for_many, physical)):
        level += 1  # 1, unless vmaps are nested; removed from a tensor of another, nothing changes
        physical = [
            torch._remove_batch_dim(tensor, level, 1, 0) if many else tensor
            for tensor, many in zip(tensors, mapped, strict=True)
        ]
    in_dims = tuple([0 if many else None for many in mapped])
    found = torch.func.vmap(function, in_dims=in_dims)(*physical)
    return [torch._add_batch_dim(each, 0, level) for each in found]


def functions_watched(args: Sequence[Any]) -> bool:
    """Whether somebody sees operations before the autograd does, and must be shown the registered
    one: ``torch.jit.trace``, a mode or a tensor that has a ``__torch_function__``."""
    return tracing_state() is not None or has_torch_function(args)


def shape_to_compare(tensor: Tensor) -> torch.Size:
    """The shape, as plain numbers. While ``torch.jit.trace`` records, sizes are tensors, and torch
    warns wherever a decision is made of one."""
    state = tracing_state()
    if state is None:
        return tensor.shape
    _set_tracing_state(None)
    try:
        return tensor.shape
    finally:
        _set_tracing_state(state)


def expanded_from(tensor: Tensor) -> Tensor:
    """The tensor that this one is an expanded view of (``expand``, ``broadcast_tensors``), if their
    gradients are the same; else this one."""
    if torch.compiler.is_compiling() or transforms_active() or functions_watched((tensor,)):
        return tensor
    base = tensor._base
    if base is None or base.requires_grad != tensor.requires_grad or not _expands_to(base, tensor):
        return tensor
    if not base.requires_grad:
        return base
    asked_for = tensor.retains_grad or tensor._backward_hooks  # its own gradients, by somebody
    return base if _leads_to(tensor.grad_fn, base) and not asked_for else tensor


def _expands_to(base: Tensor, view: Tensor) -> bool:
    """Whether ``base.expand(view.shape)`` is that view."""
    extra = view.dim() - base.dim()
    if extra < 0 or base.dtype != view.dtype or base.storage_offset() != view.storage_offset():
        return False
    if any([n not in (1, m) for n, m in zip(base.shape, view.shape[extra:], strict=True)]):
        return False
    return base.expand(view.shape).stride() == view.stride()


def _leads_to(node: Any, base: Tensor) -> bool:
    """Whether gradients pass expansions alone on their way to ``base``. A view that was made where
    none were recorded has no node, though torch says that it requires them."""
    while node is not None and node.name() == "ExpandBackward0":
        node = node.next_functions[0][0]
    if node is None:
        return False
    return node is base.grad_fn or getattr(node, "variable", None) is base


#: What torch registers for the divergence of two Normals.
kl_of_normals = kl._kl_normal_normal


#: The same of two categorical distributions of one-hot vectors.
kl_of_one_hots = kl._kl_onehotcategorical_onehotcategorical


def logits_given(distribution: torch.distributions.OneHotCategorical) -> bool:
    """Whether it was made of logits: those that torch makes of probabilities are clamped."""
    given = distribution._param
    return given is distribution._categorical.__dict__.get("logits")


def registered_kl(p: type, q: type) -> Any:
    """What computes divergences of these two families: ``torch.distributions.register_kl`` may have
    been given another function. Remembered where torch remembers it."""
    try:
        return kl._KL_MEMOIZE[p, q]
    except KeyError:
        found = kl._KL_MEMOIZE[p, q] = kl._dispatch_kl(p, q)
        return found


def autocast_enabled(tensor: Tensor) -> bool:
    """Whether autocast is on for the tensor's device. There is none for meta tensors, and torch
    raises when asked."""
    device = tensor.device.type
    return device != "meta" and torch.is_autocast_enabled(device)


#: Within a backward: whether it may run again (``retain_graph=True``).
backward_keeps_graph: Callable[[], bool] = torch._C._autograd._get_current_graph_task_keep_graph


def replace_backward(
    kind: type[torch.autograd.Function], by: Callable[[Callable[..., Any]], Any]
) -> None:
    """Has the autograd engine call ``by(otherwise)`` for nodes of a kind, where ``otherwise`` is
    what it called before: a Python method that looks up the kind's ``backward``."""
    node: Any = kind._backward_cls
    node.apply = by(node.apply)


def call_by(op: Any, by: Callable[[Callable[..., Any]], Any]) -> None:
    """Has a call of an op call ``by(otherwise)``, where ``otherwise`` is what it called before:
    torch's dispatcher."""
    op._op = by(op._op)


#: Knows the default process group of a distributed run, its ``default_pg``: None where there is
#: none. ``is_initialized`` asks the same by way of two more functions.
process_groups: Any = (
    distributed.distributed_c10d._world
    if distributed.is_available()
    else SimpleNamespace(default_pg=None)
)


def current_cuda_stream(device_index: int) -> int:
    """The address of the ``cudaStream_t`` that torch queues work on."""
    stream: int = torch._C._cuda_getCurrentRawStream(device_index)
    return stream


def constant_when_compiled(function: _Function) -> _Function:
    """As ``torch.compiler.assume_constant_result``: compiled code calls it while it is traced. That
    one would import the compiler along with this package, which takes seconds."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


#: A tensor from a DLPack capsule; ``torch.from_dlpack`` would look for ``__dlpack__`` first.
from_dlpack = torch._C._from_dlpack

#: The public sampler of Gamma variables takes no generator.
standard_gamma = torch._standard_gamma


def register_pytree(
    kind: type,
    flatten: Callable[[Any], tuple[list[Any], Any]],
    unflatten: Callable[[Iterable[Any], Any], Any],
    *,
    name: str,
    keys: Callable[[Any], Sequence[str]],
) -> None:
    """Has torch take objects of this class apart, into values and what else there is to know
    (tuples of what JSON has), and put them together again. ``keys(rest)`` names the values, and
    ``name`` is that of the class in saved programs."""

    def flatten_with_keys(thing: Any) -> tuple[list[tuple[Any, Any]], Any]:
        values, rest = flatten(thing)
        return [
            (pytree.GetAttrKey(key), value) for key, value in zip(keys(rest), values, strict=True)
        ], rest

    pytree.register_pytree_node(
        kind,
        flatten,
        unflatten,
        serialized_type_name=name,
        flatten_with_keys_fn=flatten_with_keys,
        from_dumpable_context=_tuples,
        to_dumpable_context=lambda rest: rest,
    )


def _tuples(loaded: Any) -> Any:
    """JSON's lists are tuples here."""
    return tuple([_tuples(part) for part in loaded]) if isinstance(loaded, list) else loaded
