"""What a row of the table is: an operation registered with torch.

For a row two functional ops join the ``vaekern`` library, ``<name>`` and ``<name>_vjp``, each with
a kernel for CPU and CUDA tensors, a fake kernel, and a derivative on the Autograd key
(``_autograd.py``). Nothing here is specific to one operation. Which backend runs is an attribute of
the call, so that compiled code and backwards keep to the one chosen in the forward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from vaekern import _plain
from vaekern._autograd import Eager, EagerVjp, Functional, FunctionalVjp
from vaekern._backend import backend_named
from vaekern._compat import below_autograd, forward_mode_active, transforms_active
from vaekern._launch import (
    Bytes,
    Kernel,
    Noise,
    PerDatapoint,
    Source,
    accumulation_dtype,
    empty_contiguous,
    is_plain,
    launch,
)

_library = torch.library.Library("vaekern", "DEF")

ELEMENT, DATAPOINT = "element", "datapoint"

Empty: TypeAlias = Callable[[Tensor, torch.dtype], Tensor]


class Op:
    """One operation.

    ``inputs`` are tensors that broadcast to the shape of the first, from the right; an int64 one
    is a seed, which stands for noise. ``results`` are one number per element or per datapoint.
    ``vjp_inputs`` are the inputs that the vjp kernel reads and differentiates: the gradient of any
    other is the first result's, as it is. ``kept`` names further results, one float64 number per
    row of the first input, that the vjp reads too; nobody else sees them (``_row_ops.py``).
    ``plain`` is the same function in torch operations, without those. ``uint8_range`` is how uint8
    inputs are read, see ``_launch.Bytes``; None leaves it to the call. ``broadcasts`` is whether
    the inputs do so to the shape of the first.
    After the inputs, where an element is one of the first input and all results are sums of them,
    comes a mask or None: a bool tensor with as many dimensions as the first input, which says whose
    elements count. Then the attributes: ``batch_dims``, ``scale`` where ``scaled``, ``uint8_range``
    where the call says it, ``backend``.
    """

    broadcasts = True

    def __init__(
        self,
        plain: Callable[..., Any],
        inputs: Sequence[str],
        results: Sequence[str],
        *,
        scaled: bool = True,
        vjp_inputs: Sequence[int] | None = None,
        uint8_range: str | None = "unit",
        kept: Sequence[str] = (),
    ) -> None:
        self.name = plain.__name__
        self.plain = plain
        self.inputs = tuple(inputs)
        self.results = tuple(results)
        self.scaled = scaled
        self.uint8_range = uint8_range
        summed = all([kind is DATAPOINT for kind in results])
        self.maskable = self.broadcasts and not kept and summed
        self.vjp_inputs = tuple(range(len(inputs)) if vjp_inputs is None else vjp_inputs)
        self.kept = tuple(kept)
        attributes = "int batch_dims, " + ("str scale, " if scaled else "")
        attributes += ("str uint8_range, " if uint8_range is None else "") + "str backend"
        tensors = [f"Tensor {name}" for name in inputs]
        mask = ["Tensor? mask"] if self.maskable else []
        n_returned = len(results) + len(kept)
        returns = ", ".join(["Tensor"] * n_returned)
        self.op = _define(
            f"{self.name}({', '.join(tensors + mask)}, {attributes}) -> "
            + (f"({returns})" if n_returned > 1 else returns),
            kernel=self._kernel,
            fake=self._fake,
            autograd=self.differentiable,
        )
        vjp_tensors = [f"Tensor? g{k}" for k in range(len(results))]
        vjp_tensors += [tensors[k] for k in self.vjp_inputs]
        vjp_tensors += [f"Tensor {name}" for name in kept] + mask
        self.vjp_op = _define(
            f"{self.name}_vjp({', '.join(vjp_tensors)}, bool[] wanted, {attributes}) -> Tensor[]",
            kernel=self._vjp_kernel,
            fake=self._fake_vjp,
            autograd=self.differentiable_vjp,
        )

    # --- calling ------------------------------------------------------------------------------

    def __call__(self, *args: Any) -> Any:
        """The results, differentiable in every way torch knows."""
        found = self.op(*args) if torch.compiler.is_compiling() else self.differentiable(*args)
        if not self.kept:
            return found
        return found[0] if len(self.results) == 1 else found[: len(self.results)]

    def vjp(self, *args: Any) -> list[Tensor]:
        """The wanted gradients of ``vjp_inputs``, themselves differentiable."""
        if torch.compiler.is_compiling():
            return self.vjp_op(*args)
        return self.differentiable_vjp(*args)

    def differentiable(self, *args: Any) -> Any:
        """The Autograd kernel. Eager code calls it directly and saves a trip to the dispatcher."""
        if transforms_active():
            return Functional.apply(self, *args)
        return Eager.apply(self, *args) if _wants_derivative(args) else self.execute(*args)

    def differentiable_vjp(self, *args: Any) -> list[Tensor]:
        if transforms_active():
            return list(FunctionalVjp.apply(self, *args))
        if _wants_derivative(args):
            return list(EagerVjp.apply(self, *args))
        return self.execute_vjp(*args)

    def execute(self, *args: Any) -> Any:
        """The results without a derivative: the kernel itself where it may read the memory."""
        if is_plain(args):
            return self._kernel(*args)
        with below_autograd():
            return self.op(*args)

    def execute_vjp(self, *args: Any) -> list[Tensor]:
        if is_plain(args):
            return self._vjp_kernel(*args)
        with below_autograd():
            return self.vjp_op(*args)

    def split(self, args: Sequence[Any]) -> tuple[Sequence[Tensor], Tensor | None, Sequence[Any]]:
        """Inputs, mask and attributes."""
        n = len(self.inputs)
        return args[:n], args[n] if self.maskable else None, args[n + self.maskable :]

    def split_vjp(
        self, args: Sequence[Any]
    ) -> tuple[
        Sequence[Tensor | None], Sequence[Tensor], Tensor | None, Sequence[bool], Sequence[Any]
    ]:
        """Gradients of the results, ``vjp_inputs`` and what was kept, mask, which inputs want a
        gradient, attributes."""
        n_g = len(self.results)
        n = n_g + len(self.vjp_inputs) + len(self.kept)
        mask, others = args[n] if self.maskable else None, args[n + self.maskable :]
        return args[:n_g], args[n_g:n], mask, others[0], others[1:]

    def mask_slot(self, mask: Tensor | None) -> tuple[Tensor | None, ...]:
        """What stands for the mask among the arguments."""
        return (mask,) if self.maskable else ()

    def on_plain_torch(
        self, tensors: Sequence[Tensor], mask: Tensor | None, attributes: Sequence[Any]
    ) -> Any:
        """The results without a kernel; ``attributes`` are without the backend."""
        if mask is None:
            return self.plain(*tensors, *attributes)
        return _plain.within(mask, self.plain, tensors, *attributes)

    # --- kernels: reached with plain CPU or CUDA tensors only ---------------------------------

    def _kernel(self, *args: Any) -> Any:
        tensors, mask, attributes = self.split(args)
        backend = backend_named(attributes[-1])
        results = self._new_results(tensors, attributes[0], backend.empty)
        launch(
            backend,
            self.kernel_name("value", attributes),
            tensors[0].shape,
            attributes[0],
            self.sources(tensors, mask, attributes),
            [
                result if kind is ELEMENT else PerDatapoint(result)
                for kind, result in zip(self.results, results, strict=True)
            ],
        )
        return results[0] if len(results) == 1 else tuple(results)

    def _vjp_kernel(self, *args: Any) -> list[Tensor]:
        gradients, tensors, mask, wanted, attributes = self.split_vjp(args)
        backend = backend_named(attributes[-1])
        found = [
            backend.empty(t, t.dtype) if want else None
            for t, want in zip(tensors, wanted, strict=True)
        ]
        launch(
            backend,
            self.kernel_name("vjp", attributes),
            tensors[0].shape,
            attributes[0],
            [
                0.0 if g is None else g if kind is ELEMENT else PerDatapoint(g)
                for kind, g in zip(self.results, gradients, strict=True)
            ]
            + self.sources(tensors, mask, attributes),
            found,
        )
        return [gradient for gradient in found if gradient is not None]

    def sources(
        self, tensors: Sequence[Tensor], mask: Tensor | None, attributes: Sequence[Any]
    ) -> list[Source]:
        """What a launch is told of inputs and mask."""
        uint8_range = self.uint8_range or attributes[1 + self.scaled]
        found: list[Source] = [
            Noise(t.contiguous())
            if t.dtype is torch.int64
            else Bytes(t, uint8_range)
            if uint8_range != "unit" and t.dtype is torch.uint8
            else t
            for t in tensors
        ]
        if mask is not None:
            found.append(mask)
        return found

    def kernel_name(self, variant: str, attributes: Sequence[Any]) -> Kernel:
        return self.name, attributes[1] if self.scaled else "", variant

    # --- shapes and dtypes of the results -----------------------------------------------------

    def _new_results(
        self, tensors: Sequence[Tensor], batch_dims: int, empty: Empty
    ) -> list[Tensor]:
        first, second = tensors[0], tensors[1]
        return [
            empty(first, torch.promote_types(first.dtype, second.dtype))
            if kind is ELEMENT
            else first.new_empty(first.shape[:batch_dims], dtype=accumulation_dtype(tensors))
            for kind in self.results
        ]

    def _fake(self, *args: Any) -> Any:
        tensors, _, attributes = self.split(args)
        results = self._new_results(tensors, attributes[0], empty_contiguous)
        results += [new_row_numbers(tensors[0]) for _ in self.kept]
        return results[0] if len(results) == 1 else tuple(results)

    def _fake_vjp(self, *args: Any) -> list[Tensor]:
        _, read, _, wanted, _ = self.split_vjp(args)
        tensors = read[: len(self.vjp_inputs)]
        return [
            empty_contiguous(t, t.dtype) for t, want in zip(tensors, wanted, strict=True) if want
        ]


def new_row_numbers(tensor: Tensor) -> Tensor:
    """For one number per row, which is what lies along a tensor's last dimension."""
    return tensor.new_empty((*tensor.shape[:-1], 1), dtype=torch.float64)


def _wants_derivative(args: Sequence[Any]) -> bool:
    if torch.is_grad_enabled():
        for arg in args:
            if isinstance(arg, Tensor) and arg.requires_grad:
                return True
    return forward_mode_active()


def _define(schema: str, *, kernel: Any, fake: Any, autograd: Any) -> Any:
    name = schema.partition("(")[0]
    _library.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    for key in ("CPU", "CUDA"):
        _library.impl(name, kernel, key)
    torch.library.register_fake(f"vaekern::{name}", fake, lib=_library)
    _library.impl(name, autograd, "Autograd")
    return getattr(torch.ops.vaekern, name).default
