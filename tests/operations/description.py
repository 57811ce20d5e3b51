"""What tests and benchmarks know of one operation of the table: a file in ``rows``, named after it.

Everything else is derived from here, from the table and from the public function's signature, so
that an operation described once is tested and measured everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from operations.case import Case
from operations.exact import Oracle
from operations.operands import Operand

#: Somebody's code for an operation: operands -> its result, or results as a tuple.
Form = Callable[..., "Tensor | tuple[Tensor, ...]"]

#: From a case's tensors, spread over the elements, and its constants: for each of the tensors that
#: get gradients, the size of the terms whose difference an element's gradient is.
Terms = Callable[..., Sequence[Tensor]]

#: Constants, arguments of one element, then its value and each argument's gradient; None is not
#: specified.
Limit = tuple[Mapping[str, Any], tuple[float, ...], tuple["float | None", ...]]


@dataclass(frozen=True, eq=False)
class Subject:
    """What ``accuracy.py`` measures: the oracle, the public call, and its arguments' kinds there,
    in order."""

    oracle: Oracle
    function: str
    arguments: dict[str, str]
    scaled: bool = True
    constants: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.oracle.__name__


@dataclass(frozen=True)
class Description:
    """``cases`` are all ways to call it, of which ``representative`` is the label of the one for
    tests that need no more; ``masks`` has the labels of those that are tried with a mask, too, and
    its shape.

    ``operands`` are what it is measured on, by the names of the public function, which also takes
    ``constants``, in the order that other people's forms take them: the ``eager`` formula that
    users would write, one of ``torch.nn.functional`` and one of ``torch.distributions``.

    ``gradient_terms`` are given where inputs of order one may make terms that are much larger.
    """

    cases: tuple[Case, ...]
    representative: str
    operands: tuple[Operand, ...]
    eager: Form
    masks: Mapping[str, str] = field(default_factory=dict)
    subject: Subject | None = None
    limits: Sequence[Limit] = ()
    functional: Form | None = None
    distributions: Form | None = None
    constants: Mapping[str, Any] = field(default_factory=dict)
    gradient_terms: Terms | None = None

    @property
    def function(self) -> str:
        return self.cases[0].function


def limits(
    *rows: tuple[tuple[float, ...], tuple[float | None, ...]], **constants: Any
) -> list[Limit]:
    return [(constants, arguments, wanted) for arguments, wanted in rows]
