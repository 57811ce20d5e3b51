"""What a row of the table is: an operation whose kernels visit elements.

Nothing here is specific to one operation; ``registration.py`` has how they are called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from vaekern._backends import fast, plain
from vaekern._backends.choice import backend_named
from vaekern._backends.launch import (
    Backend,
    Bytes,
    Kernel,
    Noise,
    PerDatapoint,
    Source,
    accumulation_dtype,
    empty_contiguous,
    launch,
)
from vaekern._checks import SCALES
from vaekern._ops.autograd import apply_regular
from vaekern._ops.base import DATAPOINT, ELEMENT, OPERATIONS
from vaekern._ops.registration import RegisteredOp
from vaekern._ops.seed import QUICK_DRAW
from vaekern._ops.usual import usual

Empty: TypeAlias = Callable[[Tensor, torch.dtype], Tensor]


class Op(RegisteredOp):
    """One operation.

    ``inputs`` are tensors that broadcast to the shape of the first, from the right; an int64 one
    is a seed, which stands for noise. ``results`` are one number per element or per datapoint.
    ``vjp_inputs`` are the inputs that the vjp kernel reads and differentiates: the gradient of any
    other is the first result's, as it is. ``kept`` names further results, one float64 number per
    row of the first input, that the vjp reads too; nobody else sees them (``rows.py``).
    ``plain`` is the same function in torch operations, without those. ``uint8_range`` is how uint8
    inputs are read, see ``_backends/launch.py``; None leaves it to the call. ``broadcasts`` is
    whether the inputs do so to the shape of the first. ``takes`` says what each input, then each
    number, regularly is, for the fast path (``_backends/fast.py``); without it there is none.
    After the inputs, where an element is one of the first input and all results are sums of them,
    comes a mask or None: a bool tensor with as many dimensions as the first input, which says whose
    elements count; where numbers of rows are kept, whose rows. Then the attributes:
    ``batch_dims``, ``scale`` where ``scaled``, ``numbers``, ``uint8_range`` where the call says it,
    ``backend``. ``numbers`` are parameters that get no gradient, of which kernels are ``told`` such
    numbers behind their inputs.
    """

    broadcasts = True
    #: Whether there is a kernel for the value of a datapoint and its derivatives at once.
    finds_partials = True
    #: A function of the elements that a mask says count, in torch operations.
    within = staticmethod(plain.within)

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
        numbers: Sequence[str] = (),
        told: Callable[..., Sequence[float]] = lambda *numbers: numbers,
        takes: Sequence[str] = (),
    ) -> None:
        self.plain = plain
        self.scaled = scaled
        self.uint8_range = uint8_range
        self.numbers = tuple(numbers)
        self.told = told
        summed = all([kind is DATAPOINT for kind in results])
        attributes = "int batch_dims, " + ("str scale, " if scaled else "")
        attributes += "".join([f"float {name}, " for name in numbers])
        attributes += ("str uint8_range, " if uint8_range is None else "") + "str backend"
        super().__init__(
            plain.__name__,
            inputs,
            results,
            attributes,
            vjp_inputs=vjp_inputs,
            kept=kept,
            maskable=self.broadcasts and summed,
            partials=self.finds_partials and tuple(results) == (DATAPOINT,) and not kept,
        )
        self.fast = fast.plan_of(
            self,
            apply_regular,
            QUICK_DRAW,
            takes,
            [kind is DATAPOINT for kind in results],
            SCALES if scaled else ("",),
        )
        if takes and not numbers:
            names = ((SCALES,) if scaled else ()) + ((("unit",),) if uint8_range is None else ())
            self.usual = usual(takes, self.maskable, names)

    def on_plain_torch(
        self, tensors: Sequence[Tensor], mask: Tensor | None, attributes: Sequence[Any]
    ) -> Any:
        if mask is None:
            return self.plain(*tensors, *attributes)
        return self.within(mask, self.plain, tensors, *attributes)

    def noise(self, seed: Tensor, shape: torch.Size, dtype: torch.dtype, backend: str) -> Tensor:
        """Standard normals: those of a sample whose mean is 0 and whose variance is 1."""
        zeros = torch.zeros((), dtype=dtype, device=seed.device).expand(shape)
        reparameterize = OPERATIONS["reparameterize"]
        found: Tensor = reparameterize(zeros, zeros, seed, 0, "logvar", backend)
        return found

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

    def _partials_kernel(self, wanted: Sequence[bool], *args: Any) -> list[Tensor]:
        tensors, mask, attributes = self.split(args)
        backend = backend_named(attributes[-1])
        value, *partials = self._new_partials(tensors, wanted, attributes[0], backend.empty)
        each = iter(partials)
        found = [next(each) if want else None for want in wanted]
        self.fill(backend, tensors, mask, attributes, 1.0, PerDatapoint(value), found)
        return [value, *partials]

    def fill(
        self,
        backend: Backend,
        tensors: Sequence[Tensor],
        mask: Tensor | None,
        attributes: Sequence[Any],
        weight: Source,
        value: Tensor | PerDatapoint,
        gradients: Sequence[Tensor | None],
    ) -> None:
        """The value, and the gradients that there is room for, times ``weight``."""
        launch(
            backend,
            self.kernel_name("value_and_vjp", attributes),
            tensors[0].shape,
            attributes[0],
            [weight, *self.sources(tensors, mask, attributes)],
            [value, *gradients],
        )

    def sources(
        self, tensors: Sequence[Tensor], mask: Tensor | None, attributes: Sequence[Any]
    ) -> list[Source]:
        """What a launch is told of inputs and mask."""
        first_number = 1 + self.scaled
        behind = first_number + len(self.numbers)
        uint8_range = self.uint8_range or attributes[behind]
        found: list[Source] = [
            Noise(t.contiguous())
            if t.dtype is torch.int64
            else Bytes(t, uint8_range)
            if uint8_range != "unit" and t.dtype is torch.uint8
            else t
            for t in tensors
        ]
        found += self.told(*attributes[first_number:behind])
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

    def _new_partials(
        self, tensors: Sequence[Tensor], wanted: Sequence[bool], batch_dims: int, empty: Empty
    ) -> list[Tensor]:
        """In the precision of the arithmetic: they are yet to be multiplied."""
        wide = accumulation_dtype(tensors)
        partials = [empty(t, wide) for t, want in zip(tensors, wanted, strict=True) if want]
        return [*self._new_results(tensors, batch_dims, empty), *partials]

    def _fake_partials(self, wanted: Sequence[bool], *args: Any) -> list[Tensor]:
        tensors, _, attributes = self.split(args)
        return self._new_partials(tensors, wanted, attributes[0], empty_contiguous)

    def _fake_vjp(self, *args: Any) -> list[Tensor]:
        _, read, _, wanted, _ = self.split_vjp(args)
        tensors = read[: len(self.vjp_inputs)]
        return [
            empty_contiguous(t, t.dtype) for t, want in zip(tensors, wanted, strict=True) if want
        ]


def new_row_numbers(tensor: Tensor) -> Tensor:
    """For one number per row, which is what lies along a tensor's last dimension."""
    return tensor.new_empty((*tensor.shape[:-1], 1), dtype=torch.float64)
