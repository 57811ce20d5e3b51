"""What a launch applies to each element. Operations are the functions of ``math`` that have a vjp:
``<name>`` and ``<name>_vjp``, of the names in ``csrc/ops.h``."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from typing import Any, NamedTuple

from vaekern._backends.launch import Kernel
from vaekern._backends.triton import math


class Function(NamedTuple):
    """``value``, ``vjp``, or both, of which the first takes all inputs but the gradient that stands
    before them; None is not wanted."""

    value: Any
    vjp: Any
    scale: str
    n_inputs: int


def _functions() -> dict[str, Any]:
    """All that are defined in the modules of ``math``, by name."""
    found: dict[str, Any] = {}
    for module_info in pkgutil.iter_modules(math.__path__, f"{math.__name__}."):
        module = importlib.import_module(module_info.name)
        found |= {
            name: function
            for name, function in vars(module).items()
            if getattr(getattr(function, "fn", None), "__module__", None) == module.__name__
        }
    return found


_FUNCTIONS = _functions()

#: The names of the operations.
NAMES = tuple(name for name in _FUNCTIONS if f"{name}_vjp" in _FUNCTIONS)


@functools.cache
def function_of(kernel: Kernel) -> Function:
    """What runs for (operation, scale, variant)."""
    name, scale, variant = kernel
    value, vjp = _FUNCTIONS[name], _FUNCTIONS[f"{name}_vjp"]
    if variant == "value":
        return Function(value, None, scale, _n_arguments(value))
    if variant == "vjp":
        return Function(None, vjp, scale, _n_arguments(vjp))
    return Function(value, vjp, scale, _n_arguments(vjp))


def _n_arguments(function: Any) -> int:
    return len(inspect.signature(function.fn).parameters) - 1  # the last one is the scale
