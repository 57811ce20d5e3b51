"""The fast path of code that dynamo traces.

Whatever is asked while code is traced, compiled code asks again before each of its runs, one by
one: of a loss some 370 questions, mostly about this package's own names and constants. The usual
call is recognised by few, and gives the operation at once. Like the extension's (``fast.py``), this
path leaves whatever is irregular to the one with all checks and messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import Parameter

from vaekern._backends.choice import backend_for
from vaekern._ops.base import OPERATIONS, Operation
from vaekern._ops.seed import drawn_seed
from vaekern._ops.usual import Usual
from vaekern._torch import constant_when_compiled


@constant_when_compiled
def _usual_of(name: str) -> Usual | None:
    """Nothing is asked again about a constant."""
    return OPERATIONS[name].usual


def attempt(op: Operation, args: Sequence[Any]) -> Any:
    """What the operation gives, of arguments that nobody has checked, without the backend; None
    where one is irregular."""
    usual = _usual_of(op.name)
    if usual is None:
        return None
    n = len(usual.inputs)
    first, batch_dims, others = args[0], args[n + usual.maskable], args[n + usual.maskable + 1 :]
    if usual.maskable and args[n] is not None:
        return None
    if not _is_tensor(first) or type(batch_dims) is not int or not 0 <= batch_dims <= first.dim():
        return None
    for value, names in zip(others, usual.attributes, strict=True):
        if value not in names:
            return None
    backend = backend_for(first.device)
    if backend == "reference":
        return None
    inputs = []
    for value, wanted in zip(args[:n], usual.inputs, strict=True):
        if wanted.noise and value is None:
            inputs.append(drawn_seed(first, None))
            continue
        if not _is_tensor(value) or value.layout is not usual.layout:
            return None
        is_whole = value.shape == first.shape
        if value.device != first.device or not (is_whole or value.dim() == 0):
            return None
        if value.dtype not in (wanted.whole if is_whole else wanted.shared):
            return None
        inputs.append(value)
    return op.op(*inputs, *args[n : n + usual.maskable + 1], *others, backend)


def _is_tensor(value: object) -> bool:
    kind = type(value)
    return kind is Tensor or kind is Parameter
