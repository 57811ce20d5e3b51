"""Triton's types in its interpreter, made once each.

The interpreter asks for the types of every operation's arguments and result, and makes them anew,
with their shapes in objects of the language: for tiles as small as those of the tests, that takes
longer than the arithmetic. What is remembered here changes no result: types are never written to.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

#: The name of the numbers' type and the sizes: what there is to know of a block of numbers.
Key = tuple[str, tuple[int, ...]]


@cache
def remember_types() -> None:
    _remember_numpys()
    _remember_blocks()
    _remember_tensors()
    _compare_shapes_first()


def _remember_numpys() -> None:
    """Of numpy, for those of Triton: the interpreter makes a table of all for each array."""
    from triton.runtime import interpreter

    of_triton, by_name = interpreter._get_np_dtype, {}

    def get_np_dtype(dtype: Any) -> Any:
        if dtype.name not in by_name:
            by_name[dtype.name] = of_triton(dtype)
        return by_name[dtype.name]

    interpreter._get_np_dtype = get_np_dtype


def _remember_blocks() -> None:
    import triton.language as tl

    init = _remembering(tl.block_type.__init__)

    def with_key(block: Any, element_ty: Any, shape: Any) -> None:
        sizes = tuple(getattr(size, "value", size) for size in shape)
        key = None if element_ty.is_ptr() else (element_ty.name, sizes)
        init(block, key, element_ty=element_ty, shape=shape)
        block.key = key

    tl.block_type.__init__ = with_key


def _remember_tensors() -> None:
    import triton.language as tl

    init = _remembering(tl.tensor.__init__)

    def with_handle(tensor: Any, handle: Any, type: Any) -> None:
        init(tensor, _key(type), handle=handle, type=type)
        tensor.handle = handle

    tl.tensor.__init__ = with_handle


def _compare_shapes_first() -> None:
    """Most arithmetic is on blocks of one shape: there is nothing to broadcast."""
    from triton.language.semantic import TritonSemantic

    of_triton = TritonSemantic.broadcast_impl_value

    def broadcast(semantic: Any, lhs: Any, rhs: Any) -> Any:
        left, right = _key(lhs.type), _key(rhs.type)
        if left is not None and right is not None and left[1] == right[1]:
            return lhs, rhs
        return of_triton(semantic, lhs, rhs)

    TritonSemantic.broadcast_impl_value = broadcast


def _key(type: Any) -> Key | None:
    """None of pointers, and of what is no block."""
    return getattr(type, "key", None)


def _remembering(of_triton: Callable[..., None]) -> Callable[..., None]:
    """An initialiser that gives an object the attributes of the first with its key."""
    seen: dict[Key, dict[str, Any]] = {}

    def init(self: Any, key: Key | None, **arguments: Any) -> None:
        known = None if key is None else seen.get(key)
        if known is not None:
            vars(self).update(known)
            return
        of_triton(self, **arguments)
        if key is not None:
            seen[key] = dict(vars(self))

    return init
