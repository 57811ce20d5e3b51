"""The kernels of mixtures: a program takes a block of neighbouring pixels and visits their
components one after the other, for gradients once more."""

# mypy: ignore-errors
# ruff: noqa: N803, RUF005

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from vaekern._backends.launch import ROW_SUM, Mixture
from vaekern._backends.triton.loops import as_number, store_as
from vaekern._backends.triton.math.exponential import exp_of_minus
from vaekern._backends.triton.math.logistic_mixture import (
    add_to_log_sum,
    mixture_value,
    rgb_logistic,
    rgb_logistic_gradients,
)
from vaekern._backends.triton.math.scalar import INF, at_least, divide
from vaekern._backends.triton.plan import NARROW, one_dimension, steps_of_add_up
from vaekern._backends.triton.prepared import Launch, current, index_type, layout_of, remembered
from vaekern._backends.triton.sums import Steps, memory_for_sums, prepare_sums, sum_up

PIXELS = 128  # of a program
PARAMETERS = 9  # of a component


@triton.jit
def load_planes(first, step, mask, N: tl.constexpr, COMPUTE: tl.constexpr):
    """Of a pixel, N numbers ``step`` apart."""
    found = ()
    for p in tl.static_range(N):
        loaded = tl.load(first + p * step, mask=mask, other=0)
        found = found + (as_number(loaded, "signed", COMPUTE),)
    return found


@triton.jit
def visit_mixture(
    planes, x, upstream, out, components, pixels, blocks,
    WANTS_GRADIENTS: tl.constexpr, PARAMETERS: tl.constexpr, BLOCK: tl.constexpr,
    INDEX: tl.constexpr, COMPUTE: tl.constexpr,
):  # fmt: skip
    """``out`` gets the blocks' sums of log-likelihoods, or the gradients of ``planes``.

    (Triton's launcher has a variable ``params`` of its own: an argument must not have that name.)
    """
    program = tl.program_id(0).to(INDEX)
    row, block = program // blocks, program % blocks
    pixel = block * BLOCK + tl.arange(0, BLOCK).to(INDEX)[None, :]
    mask = pixel < pixels
    # From a parameter of a component to the next one. (A single component is compiled in: no .to.)
    plane = tl.zeros([1, 1], INDEX) + components * pixels
    observed = load_planes(x + row * 3 * pixels + pixel, pixels, mask, 3, COMPUTE)
    start = row * (1 + PARAMETERS) * plane + pixel
    own = planes + start

    largest = tl.full([1, BLOCK], -INF, COMPUTE)
    for k in range(components):
        largest = at_least(largest, load_planes(own + k * pixels, plane, mask, 1, COMPUTE)[0])
    weights = tl.zeros([1, BLOCK], COMPUTE)
    most = tl.full([1, BLOCK], -INF, COMPUTE)
    total = tl.zeros([1, BLOCK], COMPUTE)
    for k in range(components):
        p = load_planes(own + k * pixels, plane, mask, 1 + PARAMETERS, COMPUTE)
        shifted = p[0] - largest
        weights += exp_of_minus(-shifted)
        log_p, _ = rgb_logistic(p[1:], observed)
        most, total = add_to_log_sum(most, total, shifted + log_p)

    if WANTS_GRADIENTS:
        g = tl.load(upstream + row + tl.zeros([1, BLOCK], INDEX)).to(COMPUTE)
        for k in range(components):
            p = load_planes(own + k * pixels, plane, mask, 1 + PARAMETERS, COMPUTE)
            shifted = p[0] - largest
            log_p, kept = rgb_logistic(p[1:], observed)
            share = divide(exp_of_minus(most - (shifted + log_p)), total)
            weight = divide(exp_of_minus(-shifted), weights)
            target = out + start + k * pixels
            store_as(target, g * (share - weight), mask)
            found = rgb_logistic_gradients(kept, observed)
            for j in tl.static_range(PARAMETERS):
                store_as(target + (1 + j) * plane, g * share * found[j], mask)
    else:
        value = mixture_value(most, total, weights).to(tl.float64)
        tl.store(out + program, tl.sum(tl.where(mask, value, 0.0)))


class Visit(NamedTuple):
    """The launches of a mixture's value, or of its gradients, which have no sums."""

    pixels: Launch
    partials: int
    sums: Steps


def mixture(call: Mixture, upstream: Tensor | None, out: Tensor) -> None:
    tensors = call.params, call.x, upstream, out
    layouts = tuple([None if t is None else layout_of(t) for t in tensors])
    with current(out.device):
        found = remembered(("mixture", call.sizes, *layouts, out.device), _prepare, call, upstream)
        target = memory_for_sums(found.partials, out.device) if found.partials else out
        found.pixels(call.params, call.x, upstream, target)
        sum_up(found.sums, target, out)


def _prepare(call: Mixture, upstream: Tensor | None) -> Visit:
    rows, components, pixels = call.sizes
    blocks = -(-pixels // PIXELS)
    wide = call.params.numel() > NARROW
    constants = {
        "WANTS_GRADIENTS": upstream is not None,
        "PARAMETERS": PARAMETERS,
        "BLOCK": PIXELS,
        "INDEX": index_type(wide),
        "COMPUTE": tl.float64 if call.in_double else tl.float32,
    }
    launch = Launch(visit_mixture, rows * blocks, (components, pixels, blocks), constants)
    if upstream is not None:
        return Visit(launch, 0, ())
    steps = steps_of_add_up(one_dimension(rows, blocks), one_dimension(blocks, 1))
    return Visit(launch, rows * blocks, prepare_sums(steps, ROW_SUM, wide))
