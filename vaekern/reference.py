"""The public functions on plain torch, on any device: the oracle of the tests."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from vaekern import elbo, functional, last_layer
from vaekern._backends.choice import backend
from vaekern.posteriors import tril

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _plain(function: Callable[_P, _R]) -> Callable[_P, _R]:
    @functools.wraps(function)
    def on_reference(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with backend("reference"):
            return function(*args, **kwargs)

    return on_reference


__all__: list[str] = []
__all__ += elbo.__all__
__all__ += functional.__all__
__all__ += last_layer.__all__
__all__ += tril.__all__

if TYPE_CHECKING:  # they have the signatures of the public functions
    from vaekern.elbo import *
    from vaekern.functional import *
    from vaekern.last_layer import *
    from vaekern.posteriors.tril import *
else:
    for _module in (elbo, functional, last_layer, tril):
        for _name in _module.__all__:
            globals()[_name] = _plain(getattr(_module, _name))
