"""Where noise comes from: the caller's ``eps``, or a seed from which kernels generate it."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekern._checks import check_float, check_like
from vaekern._ops.seed import as_int64, drawn_seed
from vaekern._torch import shape_to_compare


def resolve_noise(
    like_name: str,
    like: Tensor,
    eps: Tensor | None,
    seed: int | Tensor | None,
    generator: torch.Generator | None,
) -> Tensor:
    """``eps`` itself, or an int64[2] seed on the device of ``like``."""
    if eps is None and seed is None:
        return drawn_seed(like, generator)
    _at_most_one(eps=eps, seed=seed, generator=generator)
    if eps is not None:
        check_float("eps", eps)
        check_like("eps", eps, like_name, like)
        return eps
    return _from_user(seed, like)


def streams(seed: Tensor, count: int) -> list[Tensor]:
    """As many seeds, of noise that is independent: the first is the one given."""
    # An odd number times k differs in all k; exclusive or: no two streams of one seed meet.
    steps = [as_int64(k * 0x9E3779B97F4A7C15 % 2**64) for k in range(count)]
    return [torch.cat([seed[:1], seed[1:] ^ step]) for step in steps]


def unresolved(eps: object, seed: object, generator: object) -> object:
    """The same as the fast path takes it, which nobody has checked."""
    if seed is None:
        if generator is None:
            return eps
        return generator if eps is None else ()
    return (seed,) if eps is None and generator is None else ()


def _at_most_one(**given: object) -> None:
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ValueError(f"{' and '.join(names)}: expected at most one of eps, seed, generator")


def _from_user(seed: int | Tensor | None, like: Tensor) -> Tensor:
    if isinstance(seed, Tensor):
        shape = shape_to_compare(seed)
        if seed.dtype is not torch.int64 or shape not in ((), (1,), (2,)):
            raise ValueError(
                "seed: expected an int or an int64 tensor of 1 number (seed) or 2 (seed, stream), "
                f"got {seed.dtype} of shape {tuple(shape)}"
            )
        if seed.device != like.device:
            raise ValueError(f"seed: expected device {like.device}, got {seed.device}")
        if shape == (2,):
            return seed
        return torch.cat([seed.reshape(1), seed.new_zeros(1)])
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed: expected an int or an int64 tensor, got {type(seed).__name__}")
    if not 0 <= seed < 2**64:
        raise ValueError(f"seed: expected 0 to 2**64 - 1, got {seed}")
    # Filled on the device: a copy from the host would wait for the GPU.
    words = torch.zeros(2, dtype=torch.int64, device=like.device)
    words[:1].fill_(as_int64(seed))
    return words
