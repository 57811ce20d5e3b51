"""What elementary functions are made of; with ``exponential.py`` and ``logarithm.py`` the twin of
``csrc/core/scalar.h``, where the reasons stand.

float32: own polynomials, for the GPU's own exponential and logarithm are not accurate enough.
float64: the ones of the CUDA library. Launches switch the fusing of multiplications and additions
off: where an fma is wanted, it is written.
"""

# mypy: ignore-errors

import triton
import triton.language as tl

INF = tl.constexpr(float("inf"))

#: ln 2 in two parts, of which the first has few digits: a small integer times it is exact.
LN2_HIGH = tl.constexpr(0.693359375)
LN2_LOW = tl.constexpr(-2.12194440e-4)


@triton.jit
def in_full(number, like):
    """A constant in all digits of a block's dtype: before Triton 3.9, ``tl.fma`` takes a constant
    for a float32."""
    return number if isinstance(number, tl.tensor) else tl.full([1, 1], number, like.dtype)


@triton.jit
def fma(a, b, c):
    return tl.fma(a, in_full(b, a), in_full(c, a)) if a.dtype == tl.float64 else tl.fma(a, b, c)


@triton.jit
def bits(x):
    return x.to(tl.uint32, bitcast=True)


@triton.jit
def from_bits(x):
    return x.to(tl.float32, bitcast=True)


@triton.jit
def absolute(x):
    return tl.abs(x)


@triton.jit
def with_sign_of(x, magnitude):
    return from_bits((bits(x) & 0x80000000) | bits(magnitude))


@triton.jit
def square_root(x):
    return tl.sqrt(x) if x.dtype == tl.float64 else tl.sqrt_rn(x)


@triton.jit
def square_root_of_normal(x):
    """Of a float32, where it and the root are normal numbers: rounded correctly, too."""
    inverse = tl.rsqrt(x)
    near = x * inverse
    return fma(fma(-near, near, x), 0.5 * inverse, near)


@triton.jit
def divide(a, b):
    """Rounded correctly, as the division of C is."""
    return a / b if b.dtype == tl.float64 else tl.div_rn(a, b)


@triton.jit
def at_most(bound, x):
    return tl.where(x > bound, bound, x)


@triton.jit
def at_least(bound, x):
    return tl.where(x < bound, bound, x)


@triton.jit
def product_error(a, b, product):
    return fma(a, b, -product)


@triton.jit
def difference(a, b):
    """A rounded result and what rounding it lost, here and below."""
    value = a - b
    shift = value - a
    return value, (a - (value - shift)) - (b + shift)


@triton.jit
def finite_or_zero(x):
    return tl.where(absolute(x) < INF, x, 0.0)


@triton.jit
def scaled_difference(a, b, scale):
    d, d_lost = difference(a, b)
    value = d * scale
    return value, finite_or_zero(fma(d_lost, scale, product_error(d, scale, value)))


@triton.jit
def half_square(value, lost):
    return value * fma(value, 0.5, lost)


@triton.jit
def horner(x, coefficients):
    """coefficients[0] + coefficients[1] x + ...; at least two."""
    total = fma(x, coefficients[len(coefficients) - 1], coefficients[len(coefficients) - 2])
    for k in tl.static_range(len(coefficients) - 2):
        total = fma(total, x, coefficients[len(coefficients) - 3 - k])
    return total


@triton.jit
def polynomial(x, coefficients):
    """The same, even and odd powers side by side."""
    if len(coefficients) < 4:
        total = horner(x, coefficients)
    else:
        total = fma(horner(x * x, coefficients[1::2]), x, horner(x * x, coefficients[0::2]))
    return total
