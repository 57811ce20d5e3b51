"""What becomes of what modules are handed: it is trained, copied or refused, and nothing is shared
that its owner does not know of."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from vaekern._checks import check_float, check_number


def hold(module: nn.Module, name: str, value: Tensor | float, learned: bool) -> None:
    """As a parameter, a buffer or a number. A ``Parameter`` stays the one it is."""
    if isinstance(value, nn.Parameter) or learned:
        module.register_parameter(name, own_parameter(name, value))
    elif isinstance(value, Tensor):
        check_float(name, value)
        _refuse_gradient(name, value)
        module.register_buffer(name, value.clone())
    else:
        check_number(name, value)
        setattr(module, name, value)


def own_parameter(name: str, value: Tensor | float) -> nn.Parameter:
    """A ``Parameter`` itself; of anything else a copy, in its own dtype if it is a tensor."""
    if isinstance(value, nn.Parameter):
        check_float(name, value)
        return value
    if isinstance(value, Tensor):
        check_float(name, value)
        _refuse_gradient(name, value)
        return nn.Parameter(value.clone())
    return nn.Parameter(torch.tensor(check_number(name, value), dtype=torch.get_default_dtype()))


def described_state(module: nn.Module) -> str:
    """Public attributes, and the shapes of parameters and buffers, for a repr."""
    own = {name: repr(value) for name, value in vars(module).items() if name[0] != "_"}
    own.pop("training")
    tensors = [("parameter", module.named_parameters(recurse=False))]
    tensors += [("buffer", module.named_buffers(recurse=False))]  # type: ignore[list-item]
    for kind, named in tensors:
        own |= {name: f"{kind} {tuple(t.shape)}" for name, t in named}
    return ", ".join(f"{name}={value}" for name, value in own.items())


def refuse_hidden_modules(name: str, function: object) -> None:
    """A function's modules are not parts of the module that is handed it, and would not be trained.

    Raises:
        ValueError: it is no module, and one with parameters is among what it was made of.
    """
    if isinstance(function, nn.Module):
        return
    for module in _modules_within(function, depth=3):
        if next(module.parameters(), None) is not None:
            raise ValueError(
                f"{name}: expected a module that holds the {type(module).__name__} which this "
                "function uses: its parameters would not be trained, moved or saved"
            )


def _modules_within(thing: Any, depth: int) -> Iterator[nn.Module]:
    if isinstance(thing, nn.Module):
        yield thing
    elif depth > 0:
        for part in _parts(thing):
            yield from _modules_within(part, depth - 1)


def _parts(thing: Any) -> Iterable[Any]:
    if isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    if isinstance(thing, (list, tuple)):
        return thing
    if isinstance(thing, dict):
        return thing.values()
    if inspect.ismethod(thing):
        own = thing.__self__
        opaque = isinstance(own, (type, nn.Module)) or not hasattr(own, "__dict__")
        return [own, thing.__func__, *(() if opaque else vars(own).values())]
    if inspect.isfunction(thing):
        used = inspect.getclosurevars(thing)
        return [*used.nonlocals.values(), *used.globals.values(), *(thing.__defaults__ or ())]
    return ()


def _refuse_gradient(name: str, value: Tensor) -> None:
    """Neither a copy nor a buffer would be what an optimizer of the caller's changes."""
    if value.requires_grad:
        raise ValueError(
            f"{name}: expected a torch.nn.Parameter, which is trained with the module, or a tensor "
            "without gradient, got a tensor that requires one"
        )
