"""An operation registered with torch: how it is called, whatever it computes.

Two functional ops join the ``vaekern`` library, ``<name>`` and ``<name>_vjp``, each with a kernel
for CPU and CUDA tensors, a fake kernel, and a derivative on the Autograd key (``autograd.py``); of
some operations a third, ``<name>_and_partials``, for compiled code (``partials.py``). Which backend
runs is an attribute of the call, so that compiled code and backwards keep to the one chosen in the
forward.
"""

from __future__ import annotations

import functools
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_dynamo_compiling

from vaekern._backends import fast
from vaekern._backends.launch import is_plain
from vaekern._ops import in_graph, partials
from vaekern._ops.autograd import Eager, EagerVjp, Functional, FunctionalVjp
from vaekern._ops.base import Operation
from vaekern._ops.partials import WithPartials
from vaekern._torch import (
    below_autograd,
    by_new_vmap,
    call_by,
    forward_mode_active,
    functions_watched,
    stands_for_many,
    transforms_active,
)
from vaekern._validation import switch

_library = torch.library.Library("vaekern", "DEF")


class RegisteredOp(Operation):
    """An operation whose ``attributes`` are a part of the schema that ends in the backend."""

    def __init__(
        self,
        name: str,
        inputs: Sequence[str],
        results: Sequence[str],
        attributes: str,
        *,
        vjp_inputs: Sequence[int] | None = None,
        kept: Sequence[str] = (),
        maskable: bool = False,
        partials: bool = False,
    ) -> None:
        super().__init__(name, inputs, results, vjp_inputs=vjp_inputs, kept=kept, maskable=maskable)
        tensors = [f"Tensor {name}" for name in inputs]
        mask = ["Tensor? mask"] if maskable else []
        n_returned = len(results) + len(kept)
        returns = ", ".join(["Tensor"] * n_returned)
        self.op = _define(
            f"{name}({', '.join(tensors + mask)}, {attributes}) -> "
            + (f"({returns})" if n_returned > 1 else returns),
            quick=functools.partial(fast.kernel_of, self, "value"),
            kernel=self._run,
            fake=self._fake,
            autograd=self.differentiable,
        )
        vjp_tensors = [f"Tensor? g{k}" for k in range(len(results))]
        vjp_tensors += [tensors[k] for k in self.vjp_inputs]
        vjp_tensors += [f"Tensor {name}" for name in kept] + mask
        self.vjp_op = _define(
            f"{name}_vjp({', '.join(vjp_tensors)}, bool[] wanted, {attributes}) -> Tensor[]",
            quick=functools.partial(fast.kernel_of, self, "vjp"),
            kernel=self._run_vjp,
            fake=self._fake_vjp,
            autograd=self.differentiable_vjp,
        )
        if partials:
            self.partials_op = _define(
                f"{name}_and_partials(bool[] wanted, {', '.join(tensors + mask)}, {attributes}) "
                "-> Tensor[]",
                quick=functools.partial(fast.kernel_of, self, "partials"),
                kernel=self._run_partials,
                fake=self._fake_partials,
                autograd=self.differentiable_partials,
            )

    # --- calling ------------------------------------------------------------------------------

    def attempt(self, *args: Any) -> Any:
        """What ``__call__`` gives, of arguments that nobody has checked, without the backend; None
        where anything is irregular. In place of noise there may be a generator or None, from which
        a seed is drawn, or a seed in a tuple."""
        if switch.enabled:
            return None
        # What traces otherwise than dynamo, with fake tensors, is irregular.
        return in_graph.attempt(self, args) if is_dynamo_compiling() else self.fast.attempt(*args)

    def __call__(self, *args: Any) -> Any:
        """The results, differentiable in every way torch knows."""
        found = self.op(*args) if _must_be_seen(args) else self.differentiable(*args)
        if not self.kept:
            return found
        return found[0] if len(self.results) == 1 else found[: len(self.results)]

    def vjp(self, *args: Any) -> list[Tensor]:
        """The wanted gradients of ``vjp_inputs``, themselves differentiable."""
        if _must_be_seen(args):
            return self.vjp_op(*args)
        return self.differentiable_vjp(*args)

    def differentiable(self, *args: Any) -> Any:
        """The Autograd kernel. Eager code calls it directly and saves a trip to the dispatcher."""
        if transforms_active():
            return Functional.apply(self, *args)
        if not _wants_derivative(args):
            return self.execute(*args)
        kind = WithPartials if partials.applies(self, args) else Eager
        return kind.apply(self, *args)

    def differentiable_vjp(self, *args: Any) -> list[Tensor]:
        if transforms_active():
            return list(FunctionalVjp.apply(self, *args))
        gradients, others = args[: len(self.results)], args[len(self.results) :]
        if any([stands_for_many(gradient) for gradient in gradients]):
            return by_new_vmap(lambda *each: self.differentiable_vjp(*each, *others), gradients)
        if _wants_derivative(args):
            return list(EagerVjp.apply(self, *args))
        return self.execute_vjp(*args)

    def differentiable_partials(self, wanted: Sequence[bool], *args: Any) -> list[Tensor]:
        if not transforms_active() and not _wants_derivative(args):
            with below_autograd():
                return self.partials_op(wanted, *args)
        value = self.differentiable(*args)
        tensors, mask, attributes = self.split(args)
        slot = self.mask_slot(mask)
        found = self.vjp(torch.ones_like(value), *tensors, *slot, wanted, *attributes)
        return [value, *[partial.to(value.dtype) for partial in found]]

    def execute(self, *args: Any) -> Any:
        """The results without a derivative: the kernel itself where it may read the memory."""
        found = self.fast.value(*args)
        if found is not None:
            return found
        if is_plain(args):
            return self._kernel(*args)
        with below_autograd():
            return self.op(*args)

    def execute_vjp(self, *args: Any) -> list[Tensor]:
        found: list[Tensor] | None = self.fast.vjp(*args)
        if found is not None:
            return found
        if is_plain(args):
            return self._vjp_kernel(*args)
        with below_autograd():
            return self.vjp_op(*args)

    def _run(self, *args: Any) -> Any:
        """What the dispatcher calls for CPU and CUDA tensors."""
        found = self.fast.value(*args)
        return self._kernel(*args) if found is None else found

    def _run_vjp(self, *args: Any) -> list[Tensor]:
        found: list[Tensor] | None = self.fast.vjp(*args)
        return self._vjp_kernel(*args) if found is None else found

    def _run_partials(self, wanted: Sequence[bool], *args: Any) -> list[Tensor]:
        found: list[Tensor] | None = self.fast.partials(wanted, *args)
        return self._partials_kernel(wanted, *args) if found is None else found

    # --- kernels ------------------------------------------------------------------------------

    @abstractmethod
    def _kernel(self, *args: Any) -> Any:
        """Results and what is kept, of plain CPU or CUDA tensors only."""

    @abstractmethod
    def _vjp_kernel(self, *args: Any) -> list[Tensor]:
        """The wanted gradients, of such tensors."""

    def _partials_kernel(self, wanted: Sequence[bool], *args: Any) -> list[Tensor]:
        """The value of each datapoint and the wanted partial derivatives, of such tensors."""
        raise NotImplementedError(f"{self.name} has no value with partial derivatives")

    @abstractmethod
    def _fake(self, *args: Any) -> Any:
        """What ``_kernel`` gives, without the numbers."""

    @abstractmethod
    def _fake_vjp(self, *args: Any) -> list[Tensor]:
        """What ``_vjp_kernel`` gives, without the numbers."""

    def _fake_partials(self, wanted: Sequence[bool], *args: Any) -> list[Tensor]:
        """What ``_partials_kernel`` gives, without the numbers."""
        raise NotImplementedError(f"{self.name} has no value with partial derivatives")


def _must_be_seen(args: Sequence[Any]) -> bool:
    """Whether the op itself is called, for a compiler or whoever else watches."""
    return torch.compiler.is_compiling() or functions_watched(args)


def _wants_derivative(args: Sequence[Any]) -> bool:
    if torch.is_grad_enabled():
        for arg in args:
            if isinstance(arg, Tensor) and arg.requires_grad:
                return True
    return forward_mode_active()


def _define(
    schema: str,
    *,
    quick: Callable[[Callable[..., Any]], Callable[..., Any]],
    kernel: Callable[..., Any],
    fake: Callable[..., Any],
    autograd: Callable[..., Any],
) -> Any:
    """The op of that schema. ``quick(otherwise)`` does what ``otherwise`` does, sooner where a call
    is regular and wants no gradient: compiled code then needs no dispatcher."""
    name = schema.partition("(")[0]
    _library.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    for key in ("CPU", "CUDA"):
        _library.impl(name, kernel, key)
    torch.library.register_fake(f"vaekern::{name}", fake, lib=_library)
    _library.impl(name, quick(autograd), "Autograd")
    op = getattr(torch.ops.vaekern, name).default
    call_by(op, quick)
    return op
