"""How a launch is cut into tiles, and how its partial sums are added up.

A plan depends on shapes and strides alone, never on the device, and the cut of a row on its length
alone: a datapoint has the same sum in any batch. What is compiled into a kernel hardly depends on
the number of rows: a batch of another size finds its kernels compiled.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

ELEMENTS, ROW_SUM, COLUMN_SUM, ROW_LOG_SUM_EXP = 0, 1, 2, 4

TILE = 1024  # elements; with 4 warps two 16-byte loads of float per thread and operand
NOISE_TILE = 2048  # of noise beside few operands: its keys serve more elements of a thread
FEW_OPERANDS = 3  # leave registers for them
COLUMN_TILE = 256  # widest tile where columns are summed
STEPS = 8  # most tiles of a program
#: Where only rows are summed, they are cut into tiles as narrow as gives no more than these. Then
#: little of the last tile lies beyond the row, and what a row costs once is spread over its tiles.
STEPS_OF_ROW = 16
NARROWEST = 32  # of those tiles: 128 bytes of float
LANES = 32  # of sums of partial sums, where these are few

#: Indices up to here fit 32 bits, those of the last tile's masked elements included.
NARROW = 2**31 - 2**16

#: Of an input: its strides, None if dense, or "constant" or "noise".
InputLayout: TypeAlias = "tuple[int, ...] | str | None"
#: Of an output: its kind and, for sums of rows that share a number, the strides of the rows.
OutputLayout: TypeAlias = "tuple[int, tuple[int, ...] | None] | None"


class Dims(NamedTuple):
    """Row-major dimensions, merged where possible; a stride of 0 broadcasts."""

    sizes: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]  # one tuple for each view


class AddUp(NamedTuple):
    """One launch of ``loops.add_up``."""

    kept: Dims
    summed: Dims
    n_kept: int
    n_summed: int
    chunk: int
    n_block: int
    s_block: int
    splits: int
    programs: int


class Plan(NamedTuple):
    """One launch of ``loops.visit``, and what follows it."""

    rows: int
    cols: int
    inner_sizes: tuple[int, ...]  # of the dimensions of rows and of columns but the first of each
    row_dims: int
    strides: tuple[tuple[int, ...], ...]  # for each input; none of one that is not strided
    varies: tuple[int, ...]  # for each input: bit d says whether it has a stride in dimension d
    input_kinds: tuple[str, ...]
    output_kinds: tuple[str, ...]
    summed: tuple[int, ...]
    add_up: tuple[tuple[AddUp, ...], ...]  # for each output
    partials: tuple[int, ...]  # for each output, how many partial sums; 0: it needs none
    down: bool
    tile_rows: int
    tile_cols: int
    steps: int
    multiple: int
    programs: int
    wide_index: bool


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()


def _ceil_div(n: int, d: int) -> int:
    return -(-n // d)


def merged(sizes: Sequence[int], views: Sequence[Sequence[int]]) -> Dims:
    """Neighbouring dimensions become one where all views allow it. At least one is left."""
    kept: list[tuple[int, list[int]]] = []
    for d, size in enumerate(sizes):
        strides = [view[d] for view in views]
        if size == 1:
            continue
        if kept and all(o == s * size for o, s in zip(kept[-1][1], strides, strict=True)):
            kept[-1] = (kept[-1][0] * size, strides)
        else:
            kept.append((size, strides))
    if not kept:
        kept = [(1, [0] * len(views))]
    return Dims(
        tuple(size for size, _ in kept),
        tuple(tuple(strides[k] for _, strides in kept) for k in range(len(views))),
    )


def one_dimension(size: int, stride: int) -> Dims:
    """As it is: also of size 1, so that a launch has the same kind of arguments then."""
    return Dims((size,), ((stride,),))


def _row_dims(
    shape: tuple[int, ...],
    row_dims: int,
    views: list[tuple[int, ...]],
    sums: list[tuple[int, tuple[int, ...] | None]],
) -> int:
    """How many dimensions to take for rows. Without sums, all but those that merge with the
    innermost. With sums of rows alone, dimensions are moved from rows to columns where all sums go
    over them and no input becomes harder to read."""
    if any(kind == COLUMN_SUM for kind, _ in sums):
        return row_dims
    least = 1 if not sums else len(merged(shape[row_dims:], [v[row_dims:] for v in views]).sizes)
    for r in range(0, len(shape) if not sums else row_dims):
        over_all = all(strides is not None and not any(strides[r:row_dims]) for _, strides in sums)
        if over_all and len(merged(shape[r:], [v[r:] for v in views]).sizes) <= least:
            return r
    return row_dims


def steps_of_add_up(kept: Dims, summed: Dims, n_block: int | None = None) -> tuple[AddUp, ...]:
    """``n_block`` numbers of a program; by default as many as the terms of one of them leave."""
    n_kept, n_summed = math.prod(kept.sizes), math.prod(summed.sizes)
    if n_block is None:
        n_block = LANES if n_summed <= 2 * STEPS * LANES else 1
    s_block = TILE // n_block
    chunk = min(_ceil_div(n_summed, s_block), 2 * STEPS) * s_block
    splits = _ceil_div(n_summed, chunk)
    programs = _ceil_div(n_kept, n_block) * splits
    step = AddUp(kept, summed, n_kept, n_summed, chunk, n_block, s_block, splits, programs)
    if splits == 1:
        return (step,)
    rest = steps_of_add_up(one_dimension(n_kept, splits), one_dimension(splits, 1))
    return (step, *rest)


def steps_of_total(terms: int) -> tuple[AddUp, ...]:
    """To a single number, of terms that a batch may have more of or fewer: each step alike."""
    number = Dims((1,), ((0,),))
    (step, *rest) = steps_of_add_up(number, one_dimension(terms, 1), n_block=1)
    return (step, *(steps_of_total(step.splits) if rest else ()))


def _row_sums(
    sizes: tuple[int, ...], row_strides: tuple[int, ...] | None, across: int
) -> tuple[AddUp, ...]:
    """From [rows, across] partial sums to those of rows that share a number."""
    steps = [math.prod(sizes[d + 1 :]) * across for d in range(len(sizes))]
    shared = [row_strides is not None and row_strides[d] == 0 for d in range(len(sizes))]
    kept = [d for d in range(len(sizes)) if not shared[d]]
    summed = [d for d in range(len(sizes)) if shared[d]]
    if across == 1 and all(sizes[d] == 1 for d in summed):
        return ()
    return steps_of_add_up(
        merged([sizes[d] for d in kept], [[steps[d] for d in kept]]),
        merged([*(sizes[d] for d in summed), across], [[*(steps[d] for d in summed), 1]]),
    )


def _multiple_of_batch(shape: tuple[int, ...]) -> int:
    """A divisor of the number of elements: 16, or else one that is the same for each size of the
    first dimension, which may be the batch."""
    return 16 if math.prod(shape) % 16 == 0 else math.gcd(math.prod(shape[1:]), 16)


def _kind(layout: InputLayout) -> str:
    return "dense" if layout is None else layout if isinstance(layout, str) else "strided"


def plan_for(
    shape: tuple[int, ...],
    row_dims: int,
    inputs: tuple[InputLayout, ...],
    outputs: tuple[OutputLayout, ...],
) -> Plan:
    views = [layout for layout in inputs if isinstance(layout, tuple)]
    sums = [output for output in outputs if output is not None and output[0] != ELEMENTS]
    row_dims = _row_dims(shape, row_dims, views, sums)
    rows, cols = math.prod(shape[:row_dims]), math.prod(shape[row_dims:])
    of_rows = merged(shape[:row_dims], [v[:row_dims] for v in views])
    of_cols = merged(shape[row_dims:], [v[row_dims:] for v in views])
    of_views = iter([r + c for r, c in zip(of_rows.strides, of_cols.strides, strict=True)])
    strides = [next(of_views) if _kind(layout) == "strided" else () for layout in inputs]

    down = any(kind == COLUMN_SUM for kind, _ in sums)
    of_noise = "noise" in inputs and len(inputs) <= FEW_OPERANDS and not down
    tile = NOISE_TILE if of_noise else TILE
    widest = COLUMN_TILE if down else tile
    of_all = not sums and row_dims == 0  # each element by itself: the columns hold the batch, too
    # Of log sum exp, every tile makes a partial one.
    by_tile = any(kind == ROW_LOG_SUM_EXP for kind, _ in sums) and not down
    along_rows = bool(sums) and not down and not by_tile
    tile_cols = widest if of_all else min(_power_of_two(cols), widest)
    if along_rows:
        narrow = _power_of_two(_ceil_div(cols, STEPS_OF_ROW))
        tile_cols = min(tile_cols, max(narrow, NARROWEST))
    tile_rows = tile // tile_cols
    tiles = _ceil_div(rows, tile_rows) if down else _ceil_div(cols, tile_cols)
    steps = 1
    if sums and not by_tile:
        steps = tiles if along_rows and tiles <= STEPS_OF_ROW else min(STEPS, tiles)
    across = _ceil_div(cols, tile_cols if down else tile_cols * steps)
    groups = _ceil_div(rows, tile_rows * steps if down else tile_rows)

    add_up: list[tuple[AddUp, ...]] = []
    partials: list[int] = []
    for output in outputs:
        following: tuple[AddUp, ...] = ()
        n = 0
        if output is not None and output[0] in (ROW_SUM, ROW_LOG_SUM_EXP):
            row_strides = None if output[1] is None else output[1][:row_dims]
            following, n = _row_sums(shape[:row_dims], row_strides, across), rows * across
        elif output is not None and output[0] == COLUMN_SUM:
            n = groups * cols  # of one group, too, lest a batch of few rows compile a kernel
            # Neighbouring columns lie side by side in memory.
            n_block = min(LANES, _power_of_two(cols))
            dims = one_dimension(cols, 1), one_dimension(groups, cols)
            following = steps_of_add_up(*dims, n_block)
        add_up.append(following)
        partials.append(n if following else 0)

    names = {
        ELEMENTS: "elements",
        ROW_SUM: "row_sum",
        COLUMN_SUM: "column_sum",
        ROW_LOG_SUM_EXP: "row_log_sum_exp",
    }
    output_kinds = tuple("discard" if o is None else names[o[0]] for o in outputs)
    farthest = max(
        (sum(s * (n - 1) for s, n in zip(v, shape, strict=True)) for v in views), default=0
    )
    return Plan(
        rows=rows,
        cols=cols,
        inner_sizes=of_rows.sizes[1:] + of_cols.sizes[1:],
        row_dims=len(of_rows.sizes),
        strides=tuple(strides),
        varies=tuple(sum(1 << d for d, step in enumerate(own) if step) for own in strides),
        input_kinds=tuple(map(_kind, inputs)),
        output_kinds=output_kinds,
        summed=tuple(
            k
            for k, kind in enumerate(output_kinds)
            if kind == ("column_sum" if down else "row_sum")
        ),
        add_up=tuple(add_up),
        partials=tuple(partials),
        down=down,
        tile_rows=tile_rows,
        tile_cols=tile_cols,
        steps=steps,
        multiple=_multiple_of_batch(shape) if of_all else math.gcd(cols, 16),
        programs=across * groups,
        wide_index=max(rows * cols, farthest) > NARROW,
    )
