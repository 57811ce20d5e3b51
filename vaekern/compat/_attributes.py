"""Attributes that the originals compute when they are made, and that anyone may set afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor


class Computed:
    """An attribute that is computed wherever it is read, until somebody sets it."""

    def __init__(self, function: Callable[[Any], Tensor]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else self.function(instance)


def was_set(instance: object, *names: str) -> bool:
    """Whether somebody set one of these."""
    return any([name in vars(instance) for name in names])
