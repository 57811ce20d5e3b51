"""The compiled kernels, from ``csrc/bindings.cpp``. Only ``_native.py`` should call :func:`run`.

Instruction sets go by the names that the build gives them, ``"x86_64_v3"`` for one.
"""

from collections.abc import Sequence

#: Whether the kernels use OpenMP; without it they run on one thread.
openmp: bool

def run(
    kernel: int,
    in_double: bool,
    shape: Sequence[int],
    row_dims: int,
    inputs: tuple[object, ...],
    outputs: tuple[object, ...],
    threads: int,
    /,
) -> None:
    """Runs a kernel over all elements of ``shape``, whose first ``row_dims`` dimensions are rows.

    Each input is ``(address, dtype, strides or None if contiguous)``, ``(address of int64[2],)``
    for noise, or a float; each output ``(kind, address, dtype, how many numbers, strides over the
    row dimensions or None)``, or None to discard it.
    """

def kernels() -> list[tuple[str, str, str, int, int]]:
    """By kernel number: operation, scale, variant, how many inputs and outputs."""

def isa() -> str:
    """The instruction set whose kernels run."""

def usable_isas() -> list[str]:
    """Those compiled in that this machine can run, best first."""

def use_isa(name: str, /) -> None:
    """Chooses one of :func:`usable_isas`."""

def philox_words(first: int, counters: int, seed: int, stream: int, /) -> list[int]:
    """The noise generator's four words of each of ``counters`` counters from ``first`` on."""

class Buffer:
    """Writable memory on loan from the pool of large blocks; it goes back when this is gone."""

    def __init__(self, bytes: int, /) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

def keep_at_most(bytes: int, /) -> None:
    """How much returned memory the pool keeps for reuse; what is beyond is freed at once."""

def kept() -> int:
    """How many bytes the pool keeps at the moment."""
