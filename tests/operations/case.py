"""What a case of ``cases.py`` is: a public function, the arguments that are tensors (how their
numbers are drawn, and which shape they have beside the first one's), and those that are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import vaekern as vk
from vaekern._ops.table import OPS, SOFTMAXES

#: The operations that files in ``rows`` describe.
DESCRIBED = (*OPS, *SOFTMAXES)

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

Shape = tuple[int, ...]
Layout = Callable[[Tensor], Tensor]

# --- how an argument's numbers are drawn, in float64 ---------------------------------------------


def _normal(shape: Shape, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _probabilities(shape: Shape, generator: torch.Generator) -> Tensor:
    """In [0, 1], both ends included and common."""
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
    return (1.5 * uniform - 0.25).clamp(0.0, 1.0)


def _integers(below: int, dtype: torch.dtype) -> Callable[[Shape, torch.Generator], Tensor]:
    return lambda shape, generator: torch.randint(below, shape, generator=generator, dtype=dtype)


CLASSES = 5
_BYTES = _integers(256, torch.uint8)


def _inner_probabilities(shape: Shape, generator: torch.Generator) -> Tensor:
    """Away from 0 and 1, where derivatives end: the limits are test_extremes' subject."""
    return 0.02 + 0.96 * torch.rand(shape, generator=generator, dtype=torch.float64)


def _counts(shape: Shape, generator: torch.Generator) -> Tensor:
    """Small whole numbers, zeros among them."""
    return torch.exp(0.7 + 0.7 * _normal(shape, generator)).floor()


DRAW: dict[str, Callable[[Shape, torch.Generator], Tensor]] = {
    "location": _normal,
    "eps": _normal,
    "logits": lambda shape, generator: 3.0 * _normal(shape, generator),
    "probs": _inner_probabilities,
    "logvar": _normal,
    "log_std": lambda shape, generator: 0.5 * _normal(shape, generator),
    "std": lambda shape, generator: torch.exp(0.5 * _normal(shape, generator)),
    "log_scale": lambda shape, generator: 0.5 * _normal(shape, generator),
    "df": lambda shape, generator: torch.exp(1.0 + 0.5 * _normal(shape, generator)),
    "log_rate": _normal,
    # Terms of the density are multiples of its exponential: of order 1, as tolerances take them.
    "log_dispersion": lambda shape, generator: 0.25 * _normal(shape, generator),
    "zero_logits": _normal,
    "count": _counts,
    "positive_count": lambda shape, generator: 1.0 + _counts(shape, generator),
    "float": _probabilities,
    "bool": lambda shape, generator: torch.randint(0, 2, shape, generator=generator).bool(),
    "uint8": _BYTES,
    "levels": _BYTES,
    "class": _integers(CLASSES, torch.int64),
    "class_uint8": _integers(CLASSES, torch.uint8),
    "count_uint8": _integers(4, torch.uint8),
    "mask": lambda shape, generator: torch.rand(shape, generator=generator) < 0.7,
    "seed": lambda _, generator: torch.randint(-(2**63), 2**63 - 1, (2,), generator=generator),
}

# --- which shape an argument has ------------------------------------------------------------------

SHAPE: dict[str, Callable[[Shape, Shape], Shape]] = {
    "full": lambda batch, event: batch + event,
    "scalar": lambda batch, event: (),
    "event": lambda batch, event: event,
    "channel": lambda batch, event: event[:1],
    "batch": lambda batch, event: batch + (1,) * len(event),
    "classes": lambda batch, event: (*batch, *event, CLASSES),
    "event_classes": lambda batch, event: (*event, CLASSES),
    "one_row": lambda batch, event: (CLASSES,),
    "shared": lambda batch, event: (1,) * len(batch) + event,
    # shared over an inner dimension: neither sums of whole rows nor of columns
    "middle": lambda batch, event: tuple(1 if d == 1 else n for d, n in enumerate(event)),
}


@dataclass(frozen=True)
class Argument:
    name: str
    role: str  # a key of DRAW
    kind: str = "full"  # a key of SHAPE

    @property
    def is_full(self) -> bool:
        """Whether it has the first argument's shape, but for the classes."""
        return self.kind in ("full", "classes")

    @property
    def has_classes(self) -> bool:
        """Whether they are its last dimension, beside those of the shape."""
        return self.kind in ("classes", "event_classes", "one_row")

    def make(self, shape: Shape, batch_dims: int, generator: torch.Generator) -> Tensor:
        own = SHAPE[self.kind](shape[:batch_dims], shape[batch_dims:])
        return DRAW[self.role](own, generator)


@dataclass(frozen=True)
class Case:
    label: str
    op: str  # the row of vaekern._ops.table that must run
    function: str
    arguments: tuple[Argument, ...]
    constants: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scale(self) -> str:
        return self.constants.get("scale", "")

    @property
    def results(self) -> tuple[str, ...]:
        """Whether each result is one number per element or per datapoint."""
        return next(op.results for op in DESCRIBED if op.name == self.op)

    @property
    def straight_through(self) -> bool:
        """Whether its gradients are, on purpose, not those of its value."""
        return self.op == "sample_categorical" or bool(self.constants.get("hard"))

    @property
    def seeded(self) -> bool:
        return any(argument.role == "seed" for argument in self.arguments)

    def make(
        self,
        shape: Shape,
        dtype: torch.dtype | Sequence[torch.dtype] = torch.float32,
        batch_dims: int = 1,
        seed: int = 0,
        layout: Layout | None = None,
    ) -> list[Tensor]:
        """The tensors. Several dtypes: floating-point arguments take them in turn. ``layout``
        puts those of the first argument's shape elsewhere in memory."""
        dtypes = [dtype] if isinstance(dtype, torch.dtype) else list(dtype)
        generator = torch.Generator().manual_seed(seed)
        tensors: list[Tensor] = []
        n_floats = 0
        for argument in self.arguments:
            tensor = argument.make(shape, batch_dims, generator)
            if tensor.is_floating_point():
                tensor = tensor.to(dtypes[n_floats % len(dtypes)])
                n_floats += 1
            if layout is not None and argument.is_full and argument.role != "seed":
                tensor = layout(tensor)
            tensors.append(tensor)
        return tensors

    def __call__(self, *tensors: Tensor, batch_dims: int = 1) -> tuple[Tensor, ...]:
        """The results, always as a tuple."""
        named = {a.name: tensor for a, tensor in zip(self.arguments, tensors, strict=True)}
        results = getattr(vk, self.function)(**named, **self.constants, batch_dims=batch_dims)
        return results if isinstance(results, tuple) else (results,)


def label_of(case: Case) -> str:
    return case.label


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
