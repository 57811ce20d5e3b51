"""The kernels of the backend: one visits elements, one adds up partial sums, one scales memory.

They are generic. The functions that are applied, the kinds of the operands and the shape of a tile
are compile-time constants; sizes and strides are not.
"""

# mypy: ignore-errors
# ruff: noqa: N803, RUF005

import triton
import triton.language as tl

from vaekern._backends.triton.math.log_sum_exp import (
    beside_top,
    greatest_of_rows,
    log_sum_exp_of_rows,
)
from vaekern._backends.triton.math.scalar import divide, fma
from vaekern._backends.triton.philox import normals_of_elements, normals_of_quads


@triton.jit
def coordinates(index, inner_sizes):
    """Of an index into row-major dimensions, whose sizes are given but for the first."""
    found = ()
    for k in tl.static_range(len(inner_sizes)):
        found = (index % inner_sizes[len(inner_sizes) - 1 - k],) + found
        index = index // inner_sizes[len(inner_sizes) - 1 - k]
    return (index,) + found


@triton.jit
def offset_of(at, strides, VARIES: tl.constexpr, INDEX: tl.constexpr):
    """Bit d of VARIES says whether there is a stride in dimension d. The block is only as large as
    that demands: an input that is the same for all elements is loaded once."""
    offset = tl.zeros([1, 1], INDEX)
    for d in tl.static_range(len(strides)):
        if VARIES >> d & 1:
            offset = offset + at[d].to(INDEX) * strides[d]
    return offset


@triton.jit
def mask_of(row_mask, col_mask, VARIES: tl.constexpr, ROW_DIMS: tl.constexpr):
    """The mask of a block of offsets."""
    mask = tl.full([1, 1], 1, tl.int1)
    if VARIES & ((1 << ROW_DIMS) - 1):
        mask = mask & row_mask
    if VARIES >> ROW_DIMS:
        mask = mask & col_mask
    return mask


@triton.jit
def as_number(loaded, UINT8: tl.constexpr, COMPUTE: tl.constexpr):
    """Bytes are read by their range: as 0 .. 1, as -1 .. 1 or as they are."""
    number = loaded.to(COMPUTE)
    if loaded.dtype == tl.uint8 and UINT8 != "count":
        if number.dtype == tl.float32:  # the same numbers as by division, for all 256
            number = fma(number, 0.003921568859368563, number * -2.3191758236063009e-10)
        else:
            number = divide(number, tl.full([1, 1], 255.0, COMPUTE))
        if UINT8 == "signed":
            number = 2.0 * number - 1.0
    return number


@triton.jit
def constant_of(halves):
    """A double, from what ``launch.py`` makes of it."""
    low, high = (halves[0] >> 1) - 4294967296, (halves[1] >> 1) - 4294967296
    return (tl.zeros([1, 1], tl.int64) + (low | (high << 32))).to(tl.float64, bitcast=True)


@triton.jit
def store_as(pointer, x, mask):
    """Halves of doubles are rounded by way of float, as everywhere in the library."""
    if pointer.dtype.element_ty.primitive_bitwidth == 16:
        tl.store(pointer, x.to(tl.float32).to(pointer.dtype.element_ty), mask=mask)
    else:
        tl.store(pointer, x.to(pointer.dtype.element_ty), mask=mask)


@triton.jit
def apply(value, vjp, scale: tl.constexpr, x):
    """The results of the value function, of the vjp, or of both."""
    if vjp is None:
        result = value(*x, scale)
    elif value is None:
        result = vjp(*x, scale)
    else:
        result = value(*x[1:], scale) + vjp(*x, scale)
    return result


@triton.jit
def within(mask, results):
    """The results where the mask is not 0, and 0 elsewhere."""
    kept = ()
    for k in tl.static_range(len(results)):
        kept = kept + (tl.where(mask != 0, results[k], 0.0),)
    return kept


# What the number of rows changes is not specialised: a batch of another size compiles nothing.
@triton.jit(do_not_specialize=["rows", "steps"])
def visit(
    strides, inputs, constants, outputs, inner_sizes, rows, cols, steps,
    VALUE: tl.constexpr, VJP: tl.constexpr, SCALE: tl.constexpr, MASKED: tl.constexpr,
    INPUT_KINDS: tl.constexpr, UINT8: tl.constexpr, VARIES: tl.constexpr,
    OUTPUT_KINDS: tl.constexpr, SUMMED: tl.constexpr,
    ROW_DIMS: tl.constexpr, MULTIPLE: tl.constexpr, DOWN: tl.constexpr, ONE_STEP: tl.constexpr,
    R: tl.constexpr, C: tl.constexpr,
    INDEX: tl.constexpr, COMPUTE: tl.constexpr,
):  # fmt: skip
    """A program makes ``steps`` tiles of R x C elements, one right of the other or, where there are
    sums over rows, one below the other (DOWN). A sum is one of float lanes over the tiles, of
    which there are few, then of doubles over the lanes; those that continue in other programs are
    stored as partial sums of their own.

    ``strides`` are of the dimensions of strided inputs, the first ROW_DIMS of which make rows;
    ``inner_sizes`` are theirs but for the first of rows and of columns. SUMMED numbers the outputs
    that are summed over tiles. MULTIPLE divides ``cols``. ONE_STEP says that ``steps`` is 1, MASKED
    that the last input is a mask.
    """
    if MULTIPLE > 1:  # (A length of 1 is compiled in, and is no number that has multiples.)
        cols = tl.multiple_of(cols, MULTIPLE)
    n_steps = 1 if ONE_STEP else steps
    across = tl.cdiv(cols, C if DOWN else C * n_steps)
    program = tl.program_id(0).to(INDEX)
    block, down = program % across, program // across
    first_row = down * (R * n_steps if DOWN else R)
    first_col = block * (C if DOWN else C * n_steps)
    rows_of_tile = tl.arange(0, R).to(INDEX)[:, None]
    cols_of_tile = tl.arange(0, C).to(INDEX)[None, :]

    lanes = ()
    for _ in tl.static_range(len(SUMMED)):
        lanes = lanes + (tl.zeros([R, C], COMPUTE),)
    for step in range(n_steps):
        tile_row = first_row + step * R if DOWN else first_row
        tile_col = first_col if DOWN else first_col + step * C
        row, col = tile_row + rows_of_tile, tile_col + cols_of_tile
        row_mask, col_mask = row < rows, col < cols
        mask = row_mask & col_mask
        flat = row * cols + col
        at = coordinates(row, inner_sizes[: ROW_DIMS - 1])
        at = at + coordinates(col, inner_sizes[ROW_DIMS - 1 :])

        # (What is in a tuple of constants is, before Triton 3.7, no constant by itself.)
        x = ()
        for k in tl.static_range(len(INPUT_KINDS)):
            if INPUT_KINDS[k] == "dense":
                loaded = tl.load(inputs[k] + flat, mask=mask, other=0)
                loaded = as_number(loaded, tl.constexpr(UINT8[k]), COMPUTE)
            elif INPUT_KINDS[k] == "strided":
                pointer = inputs[k] + offset_of(at, strides[k], VARIES[k], INDEX)
                own_mask = mask_of(row_mask, col_mask, VARIES[k], ROW_DIMS)
                loaded = tl.load(pointer, mask=own_mask, other=0)
                loaded = as_number(loaded, tl.constexpr(UINT8[k]), COMPUTE)
            elif INPUT_KINDS[k] == "constant":
                loaded = constant_of(constants[k]).to(COMPUTE)
            elif MULTIPLE % 4 == 0:
                quad_of_tile = tl.arange(0, C // 4).to(INDEX)[None, :]
                quad = row * (cols // 4) + (tile_col // 4 + quad_of_tile)
                loaded = normals_of_quads(quad, inputs[k], COMPUTE)
            else:
                loaded = normals_of_elements(flat, inputs[k], COMPUTE)
            x = x + (loaded,)

        if MASKED:
            results = within(x[len(x) - 1], apply(VALUE, VJP, SCALE, x[: len(x) - 1]))
        else:
            results = apply(VALUE, VJP, SCALE, x)

        for k in tl.static_range(len(OUTPUT_KINDS)):
            if OUTPUT_KINDS[k] == "elements":
                store_as(outputs[k] + flat, tl.broadcast_to(results[k], [R, C]), mask)
            elif OUTPUT_KINDS[k] == "row_sum" and DOWN:
                terms = tl.where(mask, results[k], 0.0).to(tl.float64)
                total = tl.sum(terms, axis=1, keep_dims=True)
                store_as(outputs[k] + (row * across + block), total, row_mask)
            elif OUTPUT_KINDS[k] == "row_log_sum_exp":
                total = log_sum_exp_of_rows(results[k], mask)
                store_as(outputs[k] + (row * across + block), total, row_mask)
        if len(SUMMED) > 0:  # (Triton 3.4 cannot carry an empty tuple through the loop.)
            sums = ()
            for k in tl.static_range(len(SUMMED)):
                sums = sums + (lanes[k] + tl.where(mask, results[SUMMED[k]], 0.0),)
            lanes = sums

    for k in tl.static_range(len(SUMMED)):
        total = tl.sum(lanes[k].to(tl.float64), axis=0 if DOWN else 1, keep_dims=True)
        if DOWN:
            col = first_col + cols_of_tile
            store_as(outputs[SUMMED[k]] + (down * cols + col), total, col < cols)
        else:
            row = first_row + rows_of_tile
            store_as(outputs[SUMMED[k]] + (row * across + block), total, row < rows)


@triton.jit(do_not_specialize=["n_kept", "n_summed", "chunk"])
def add_up(
    partial, output, kept_sizes, kept_strides, summed_sizes, summed_strides,
    n_kept, n_summed, chunk,
    N: tl.constexpr, S: tl.constexpr, INDEX: tl.constexpr, LOG_SUM_EXP: tl.constexpr,
):  # fmt: skip
    """Sums of partial sums: each output adds up ``chunk`` of the ``n_summed`` terms of a number. If
    that is not all, a number has several outputs in a row, themselves partial sums. With
    LOG_SUM_EXP that of partial ones, in two passes."""
    splits = tl.cdiv(n_summed, chunk)
    program = tl.program_id(0).to(INDEX)
    split = program % splits
    number = program // splits * N + tl.arange(0, N).to(INDEX)[:, None]
    first = partial + offset_of(coordinates(number, kept_sizes), kept_strides, -1, INDEX)
    top = tl.full([N, 1], -float("inf"), tl.float64)
    if LOG_SUM_EXP:
        for start in range(0, chunk, S):
            term = split * chunk + start + tl.arange(0, S).to(INDEX)[None, :]
            offset = offset_of(coordinates(term, summed_sizes), summed_strides, -1, INDEX)
            mask = (number < n_kept) & (term < n_summed)
            loaded = tl.load(first + offset, mask=mask, other=0.0)
            top = tl.maximum(top, greatest_of_rows(loaded, mask))
    lanes = tl.zeros([N, S], tl.float64)
    for start in range(0, chunk, S):
        term = split * chunk + start + tl.arange(0, S).to(INDEX)[None, :]
        offset = offset_of(coordinates(term, summed_sizes), summed_strides, -1, INDEX)
        mask = (number < n_kept) & (term < n_summed)
        loaded = tl.load(first + offset, mask=mask, other=0.0)
        if LOG_SUM_EXP:
            loaded = tl.where(mask, beside_top(top, loaded), 0.0)
        lanes += loaded
    total = tl.sum(lanes, axis=1, keep_dims=True)
    if LOG_SUM_EXP:
        total = top + tl.log(total)
    store_as(output + (number * splits + split), total, number < n_kept)


@triton.jit
def multiply_tile(pointer, by, mask):
    """``mask`` may be None: accesses are wide, then."""
    x = tl.load(pointer, mask=mask).to(by.dtype)
    store_as(pointer, x * by, mask)


@triton.jit(do_not_specialize=["n"])
def multiply(
    data, factor, n,
    TILE: tl.constexpr, STEPS: tl.constexpr, INDEX: tl.constexpr, COMPUTE: tl.constexpr,
):  # fmt: skip
    """Multiplies in place, and touches nothing where the factor is 1."""
    by = tl.load(factor).to(COMPUTE)
    if by != 1.0:
        first = tl.program_id(0).to(INDEX) * (TILE * STEPS)
        for step in range(STEPS):
            index = first + step * TILE + tl.arange(0, TILE).to(INDEX)
            if first + (step + 1) * TILE <= n:
                multiply_tile(data + index, by, None)
            else:
                multiply_tile(data + index, by, index < n)
