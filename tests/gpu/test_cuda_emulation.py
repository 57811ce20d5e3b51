"""The emulation of CUDA's threads: that it does what a GPU does, and notices what a GPU would get
wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import cuda_emulation as emulation
import pytest

pytestmark = pytest.mark.skipif(bool(emulation.why_not()), reason=emulation.why_not())

SMALL_KERNELS = Path(__file__).parent / "emulation" / "kernels.cpp"
ORDERS = (("forward", 0), ("reverse", 0), ("shuffled", 1), ("shuffled", 2))
SIZES = ((1, 32), (3, 96), (2, 1024))  # blocks, threads of each


@pytest.fixture(scope="module")
def small() -> ModuleType:
    unit = emulation.Unit(str(SMALL_KERNELS.relative_to(emulation.ROOT)))
    sources = emulation.read_sources(SMALL_KERNELS)
    return emulation.load(emulation.build("_small_kernels", sources, (*emulation.MACHINE, unit)))


@pytest.fixture(params=ORDERS, ids=lambda order: "-".join(map(str, order)))
def ordered(request: pytest.FixtureRequest, small: ModuleType) -> Iterator[ModuleType]:
    """The small kernels, with the threads in each order."""
    small.set_order(*request.param)
    yield small
    small.set_order("forward", 0)


#: What thread t of block b writes, in a grid of that many blocks of n threads.
RIGHT: dict[str, Callable[[int, int, int, int], float]] = {
    "indices": lambda blocks, n, b, t: 1e6 * blocks + 1e4 * n + 1e2 * b + t,
    "mirrored": lambda _, n, b, t: b * n + n - 1 - t,
    "rotated": lambda _, n, b, t: (t + 3) % n,
    "block_sum_float": lambda _, n, b, t: n * (n - 1) / 2 + n / 4,
    "block_sum_double": lambda _, n, b, t: n * (n - 1) / 2 + n / 4,
    "down": lambda _, n, b, t: t + 5 if t % 32 < 27 else t,
    "from_lane_3": lambda _, n, b, t: t - t % 32 + 3,
    "halves": lambda _, n, b, t: t ^ 1 if t % 32 < 16 else t ^ 2 ^ 4,
    "within_warp": lambda _, n, b, t: b * n + (t ^ 31),
}

#: What is said about kernels whose threads wait for what never comes.
FAULTS = {
    "early_exit": "thread 0 waits at the barrier .*kernels.cpp:.* for thread 40, which has ended",
    "two_barriers": r"is at the barrier .*kernels.cpp:.* at another: .*kernels.cpp:",
    "barrier_against_exchange": "waits at the exchange .* for thread 7, which waits at",
    "absent_lane": "thread 0 waits at the exchange .* for thread 20, which has ended",
    "not_in_own_mask": "is not in its own mask",
    "reads_outside_mask": "reads from a lane that is not in the mask",
    "two_exchanges": "in another or with another mask",
}


def want(kernel: str, blocks: int, threads: int) -> list[float]:
    of_thread = RIGHT[kernel]
    return [of_thread(blocks, threads, b, t) for b in range(blocks) for t in range(threads)]


@pytest.mark.parametrize(("blocks", "threads"), SIZES)
@pytest.mark.parametrize("kernel", RIGHT)
def test_right_kernels(kernel: str, blocks: int, threads: int, ordered: ModuleType) -> None:
    assert ordered.run(kernel, blocks, threads) == want(kernel, blocks, threads)


def test_a_block_need_not_be_whole_warps(ordered: ModuleType) -> None:
    assert ordered.run("mirrored", 2, 45) == want("mirrored", 2, 45)


@pytest.mark.parametrize("kernel", FAULTS)
def test_what_never_ends_is_reported(kernel: str, ordered: ModuleType) -> None:
    with pytest.raises(RuntimeError, match=FAULTS[kernel]):
        ordered.run(kernel, 2, 64)
    assert ordered.run("mirrored", 2, 64) == want("mirrored", 2, 64)  # nothing is left over


def test_a_mask_that_names_lanes_beyond_the_block(ordered: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="lanes that a warp of 20 does not have"):
        ordered.run("down", 1, 20)


@pytest.mark.parametrize(
    ("kernel", "right"),
    [
        ("mirrored_without_barrier", "mirrored"),
        ("rotated_without_first_barrier", "rotated"),
        ("rotated_without_second_barrier", "rotated"),
    ],
)
def test_a_missing_barrier_shows(kernel: str, right: str, small: ModuleType) -> None:
    """Not in every order, but in most."""
    wrong = 0
    for order in ORDERS:
        small.set_order(*order)
        wrong += small.run(kernel, 2, 96) != want(right, 2, 96)
    small.set_order("forward", 0)
    assert wrong >= len(ORDERS) - 1


def test_shared_memory_holds_no_number_at_first(ordered: ModuleType) -> None:
    """Not even what the block before has left there."""
    assert all(math.isnan(x) for x in ordered.run("unwritten", 3, 64))


def test_orders(small: ModuleType) -> None:
    def found(name: str, seed: int) -> list[float]:
        small.set_order(name, seed)
        return small.run("when", 3, 40)

    forward, reverse = found("forward", 0), found("reverse", 0)
    assert forward == list(range(120))
    assert reverse == forward[::-1]
    one, again, two = found("shuffled", 1), found("shuffled", 1), found("shuffled", 2)
    assert sorted(one) == sorted(two) == forward
    assert one == again != two
    in_block = [[x % 40 for x in one[b : b + 40]] for b in (0, 40, 80)]
    assert in_block[0] != in_block[1] != in_block[2]
    small.set_order("forward", 0)
    with pytest.raises(ValueError, match="no such order: sideways"):
        small.set_order("sideways", 0)


@pytest.mark.parametrize(("blocks", "threads"), [(0, 32), (1, 0), (1, 1025)])
def test_sizes_that_cuda_refuses(blocks: int, threads: int, small: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="invalid configuration argument"):
        small.run("indices", blocks, threads)


def test_a_compiler_that_fails_is_quoted() -> None:
    sources = {"wrong.cpp": "int main() { return undeclared; }"}
    with pytest.raises(emulation.BuildError, match="undeclared"):
        emulation.build("wrong", sources, [emulation.Unit("wrong.cpp")])
