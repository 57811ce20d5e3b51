"""What networks take and return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from torch import Tensor

DecoderOutput: TypeAlias = "Tensor | tuple[Tensor, Tensor]"
#: What a model is told beside x: handed on to its networks as further arguments.
Condition: TypeAlias = "Tensor | Sequence[Tensor] | None"


def as_arguments(condition: Condition) -> tuple[Tensor, ...]:
    if condition is None:
        return ()
    return (condition,) if isinstance(condition, Tensor) else tuple(condition)


def single(decoder_output: DecoderOutput, what: str = "logits") -> Tensor:
    """The only thing that a decoder emits."""
    if not isinstance(decoder_output, Tensor):
        raise TypeError(
            f"decoder_output: expected a tensor of {what}, got {described(decoder_output)}"
        )
    return decoder_output


def with_own(
    decoder_output: DecoderOutput, first: str, second: str, own: Tensor | float
) -> tuple[Tensor, Tensor | float]:
    """What a decoder emits, ``first`` alone or ``(first, second)``; ``own`` is for where it emits
    no second."""
    if isinstance(decoder_output, Tensor):
        return decoder_output, own
    return pair(decoder_output, first, second, alone=True)


def unchecked_with_own(decoder_output: Any, own: Any) -> tuple[Any, Any]:
    """The same, for the fast path: it finds out by itself if this is something else."""
    if type(decoder_output) is tuple and len(decoder_output) == 2:
        return decoder_output
    return decoder_output, own


def pair(
    output: Any, first: str, second: str, *, of: str = "decoder_output", alone: bool = False
) -> tuple[Tensor, Tensor]:
    """The tuple ``(first, second)`` that a network emits; ``alone``: it might have been the first
    without the other."""
    is_pair = isinstance(output, (tuple, list)) and len(output) == 2
    if not is_pair or not isinstance(output[0], Tensor):
        wanted = f"{first} or a tuple" if alone else "a tuple"
        raise TypeError(f"{of}: expected {wanted} ({first}, {second}), got {described(output)}")
    return output[0], output[1]


def described(output: object) -> str:
    """What a network returned, for an error."""
    if isinstance(output, Tensor):
        return f"one tensor of shape {tuple(output.shape)}"
    if isinstance(output, (tuple, list)):
        kinds = ", ".join([type(part).__name__ for part in output])
        return f"a {type(output).__name__} of {len(output)}: ({kinds})"
    if isinstance(output, dict):
        return f"a dict with the keys {list(output)}"
    return type(output).__name__
