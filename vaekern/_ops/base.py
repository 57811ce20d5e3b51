"""What an operation is to everything around it, whatever it computes: its arguments, and what can
be called. How it is registered with torch is in ``registration.py``, how it is differentiated in
``autograd.py``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vaekern._backends.fast import NO_PLAN, Plan
from vaekern._ops.usual import Usual

#: What a result is: one number per element, or per datapoint.
ELEMENT, DATAPOINT = "element", "datapoint"

#: All of them, by name.
OPERATIONS: dict[str, Operation] = {}


class Operation(ABC):
    """Takes the tensors ``inputs``, then a mask or None where it is ``maskable``, then
    ``attributes``, a part of the schema that ends in the backend. Gives ``results``, then what is
    ``kept`` for the vjp, which nobody else sees: one tensor, or a tuple of several.

    The vjp takes the gradients of the results, those inputs that it reads and differentiates
    (``vjp_inputs``), what was kept, the mask, and which gradients are wanted, then the attributes.
    It gives the wanted gradients.
    """

    #: Whether the inputs broadcast to the shape of the first.
    broadcasts: bool
    #: Whether an element of a result depends on several of an input, and not on one of each.
    mixes_elements = False

    def __init__(
        self,
        name: str,
        inputs: Sequence[str],
        results: Sequence[str],
        *,
        vjp_inputs: Sequence[int] | None = None,
        kept: Sequence[str] = (),
        maskable: bool = False,
    ) -> None:
        self.name = name
        OPERATIONS[name] = self
        self.inputs = tuple(inputs)
        self.results = tuple(results)
        self.vjp_inputs = tuple(range(len(inputs)) if vjp_inputs is None else vjp_inputs)
        self.kept = tuple(kept)
        self.maskable = maskable
        #: Whether an int64 input is a seed, which stands for noise.
        self.draws_noise = "noise" in self.inputs

    # --- calling ------------------------------------------------------------------------------

    #: Its functions in the extension, which give None where they do nothing.
    fast: Plan = NO_PLAN

    #: What its arguments usually are, where code that dynamo traces may take them as they come.
    usual: Usual | None = None

    #: The registered torch ops, the operation's own and its vjp's.
    op: Any
    vjp_op: Any
    #: One that gives the value of each datapoint and its partial derivatives, where there is such.
    partials_op: Any = None

    @abstractmethod
    def __call__(self, *args: Any) -> Any:
        """The results, differentiable in every way torch knows."""

    @abstractmethod
    def vjp(self, *args: Any) -> list[Tensor]:
        """The wanted gradients of ``vjp_inputs``, themselves differentiable."""

    @abstractmethod
    def differentiable(self, *args: Any) -> Any:
        """The results, and what is kept, in eager code: differentiable in every way."""

    @abstractmethod
    def differentiable_vjp(self, *args: Any) -> list[Tensor]:
        """Likewise, of the vjp."""

    @abstractmethod
    def execute(self, *args: Any) -> Any:
        """The results without a derivative."""

    @abstractmethod
    def execute_vjp(self, *args: Any) -> list[Tensor]:
        """Likewise, of the vjp."""

    # --- arguments ----------------------------------------------------------------------------

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

    def noise(self, seed: Tensor, shape: torch.Size, dtype: torch.dtype, backend: str) -> Tensor:
        """The noise that kernels generate from a seed, where the operation ``draws_noise``."""
        raise NotImplementedError(f"{self.name} draws no noise")

    # --- what is computed ---------------------------------------------------------------------

    @abstractmethod
    def on_plain_torch(
        self, tensors: Sequence[Tensor], mask: Tensor | None, attributes: Sequence[Any]
    ) -> Any:
        """The results without a kernel; ``attributes`` are without the backend."""
