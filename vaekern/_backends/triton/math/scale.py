"""How a network's output encodes a standard deviation; the twin of ``csrc/math/scale.h``, where
the reasons stand. ``scale`` is ``"logvar"``, ``"log_std"`` or ``"std"``."""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.exponential import (
    exp,
    exp_and_phi,
    exp_of_reduced,
    limited_for_exp,
    precise_exp,
    reduce_exp,
    twice_exp_curvature,
)
from vaekern._backends.triton.math.logarithm import log, log_gap
from vaekern._backends.triton.math.scalar import (
    INF,
    absolute,
    at_least,
    at_most,
    bits,
    difference,
    divide,
    finite_or_zero,
    fma,
    from_bits,
    product_error,
)


@triton.jit
def spread_from_log_std(h):
    """std, half_phi and half_expm1, here and below."""
    if h.dtype == tl.float64:
        std, half_phi, half_expm1 = spread_from_log_std64(h)
    else:
        std, half_phi, half_expm1 = spread_from_log_std32(h)
    return std, half_phi, half_expm1


@triton.jit
def spread_from_log_std32(h):
    near = limited_for_exp(h)
    k, scaled, r, _ = reduce_exp(near, 254.0)
    c = twice_exp_curvature(r) * (r * r)
    m = fma(c, 0.5, r)
    limited = at_least(12583106.0, scaled)
    q = from_bits((bits(limited) << 24) + 0x41000000)
    less = q - 0.5
    rest = fma(less, r + r, fma(k, -0.693147181, less))
    half_phi = tl.where(k > 64.5, INF, fma(q, fma(m, m, c), rest))
    half_expm1 = tl.where(k > 64.5, INF, fma(q, m * (m + 2.0), less))
    return exp_of_reduced(m + 1.0, scaled, h), half_phi + absolute(near - h), half_expm1


@triton.jit
def spread_from_log_std64(h):
    e, phi = exp_and_phi(h)
    expm1 = h + phi
    near_phi = fma(phi, fma(phi, 0.5, h + 1.0), 0.5 * h * h)
    near_expm1 = expm1 * fma(expm1, 0.5, 1.0)
    half_exp = 0.5 * e
    far_phi = fma(half_exp, e, -(at_most(400.0, h) + 0.5))
    far_expm1 = fma(half_exp, e, -0.5)
    near = (h > -0.5) & (h < 2.0)
    return e, tl.where(near, near_phi, far_phi), tl.where(near, near_expm1, far_expm1)


@triton.jit
def corrected(std, half_phi, half_expm1, lost):
    lost = finite_or_zero(lost)
    change = finite_or_zero(2.0 * half_expm1 * lost)
    return std, half_phi + change, half_expm1 + change + lost


@triton.jit
def limited_inverse(inverse):
    if inverse.dtype == tl.float64:
        result = at_most(1.7976931348623157e308, inverse)
    else:
        result = at_most(3.4028234663852886e38, inverse)
    return result


@triton.jit
def unlimited_inverse_exp(h):
    smallest: tl.constexpr = 4.9e-324 if h.dtype == tl.float64 else 1.401298464324817e-45
    return at_least(smallest, precise_exp(-h))


@triton.jit
def inverse_exp(h):
    return limited_inverse(unlimited_inverse_exp(h))


@triton.jit
def in_units(distance, inverse):
    """A distance in units of a deviation that may be 0, and whose inverse is unlimited."""
    none = limited_inverse(inverse) * 0.0
    return tl.where(distance == 0.0, none, distance * inverse)


@triton.jit
def beside_units(log_of_deviation):
    return at_least(-1e30, log_of_deviation)


@triton.jit
def log_std(s, scale: tl.constexpr):
    """Of the two scales that are logarithms."""
    return 0.5 * s if scale == "logvar" else s


@triton.jit
def std(s, scale: tl.constexpr):
    return s if scale == "std" else exp(log_std(s, scale))


@triton.jit
def inverse_std(s, scale: tl.constexpr):
    return limited_inverse(divide(1.0, s)) if scale == "std" else inverse_exp(log_std(s, scale))


@triton.jit
def unlimited_inverse_std(s, scale: tl.constexpr):
    return divide(1.0, s) if scale == "std" else unlimited_inverse_exp(log_std(s, scale))


@triton.jit
def log_variance(s, scale: tl.constexpr):
    log_of_std = log(s) if scale == "std" else s
    return s if scale == "logvar" else 2.0 * log_of_std


@triton.jit
def from_dlogvar(dv, s, scale: tl.constexpr):
    if scale == "std":
        result = tl.where(absolute(dv) < INF, divide(2.0 * dv, s), dv)
    else:
        result = dv if scale == "logvar" else 2.0 * dv
    return result


@triton.jit
def from_dstd(d, std, scale: tl.constexpr):
    return d if scale == "std" else (0.5 * std if scale == "logvar" else std) * d


@triton.jit
def spread_from_excess(s, t):
    return s, fma(0.5 * t, t, log_gap(s, t)), 0.5 * t * (s + 1.0)


@triton.jit
def spread(s, scale: tl.constexpr):
    if scale == "std":
        result = spread_from_excess(s, s - 1.0)
    else:
        result = spread_from_log_std(log_std(s, scale))
    return result


@triton.jit
def relative_spread(s, p, scale: tl.constexpr):
    value, lost = difference(s, p)
    if scale == "std":
        result = relative_spread_of_std(s, p, value, lost)
    else:
        std, half_phi, half_expm1 = spread(value, scale)
        result = corrected(std, half_phi, half_expm1, log_std(lost, scale))
    return result


@triton.jit
def relative_spread_of_std(s, p, d, d_lost):
    t = divide(d, p)
    product = t * p
    lost = divide((d - product) - product_error(t, p, product) + d_lost, s)
    std, half_phi, half_expm1 = spread_from_excess(divide(s, p), t)
    return corrected(std, half_phi, half_expm1, tl.where(absolute(t) < 0.5, lost, 0.0))
