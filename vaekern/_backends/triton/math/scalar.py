"""Elementary functions; the twin of ``csrc/core/scalar.h``, where the reasons stand.

float32: own polynomials, for the GPU's own exponential and logarithm are not accurate enough.
float64: the ones of the CUDA library. Launches switch the fusing of multiplications and additions
off: where an fma is wanted, it is written.
"""

# mypy: ignore-errors

import triton
import triton.language as tl

INF = tl.constexpr(float("inf"))


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


# --- exp ------------------------------------------------------------------------------------

LN2_HIGH = tl.constexpr(0.693359375)
LN2_LOW = tl.constexpr(-2.12194440e-4)
ROUND_TO_INTEGER = tl.constexpr(12582912.0)


@triton.jit
def reduce_exp(x, exponent_bias):
    """k, k + bias in the low bits of a float, r, and what rounding r lost."""
    bias = exponent_bias + ROUND_TO_INTEGER
    shifted = fma(x, 1.44269504088896341, bias)
    k = shifted - bias
    exact = fma(k, -LN2_HIGH, x)
    r = fma(k, -LN2_LOW, exact)
    return k, shifted, r, fma(k, -LN2_LOW, exact - r)


@triton.jit
def times_power_of_two(x, scaled):
    return from_bits(bits(x) + (bits(scaled) << 23))


@triton.jit
def short_exp(r):
    tail = polynomial(
        r,
        (1.0, 0.499999933909, 0.166665197133, 0.0416683983914, 0.00836883035333, 0.00138143848759),
    )
    return fma(tail, r, 1.0)


@triton.jit
def exp_curvature(r):
    return polynomial(
        r,
        (0.500000001353, 0.166666665309, 0.0416664640698, 0.00833336091532, 0.00139337594559,
         0.000198578582005),
    )  # fmt: skip


@triton.jit
def twice_exp_curvature(r):
    return polynomial(
        r,
        (1.000000002706, 0.333333330618, 0.0833329281396, 0.01666672183064, 0.00278675189118,
         0.000397157164004),
    )  # fmt: skip


@triton.jit
def limited_for_exp(x):
    return with_sign_of(x, at_most(105.0, absolute(x)))


@triton.jit
def exp_bias(x):
    return tl.where(bits(x) >> 31 != 0, 64.0, -64.0)


@triton.jit
def reduce_exp_anywhere(x):
    return reduce_exp(limited_for_exp(x), exp_bias(x))


@triton.jit
def undo_bias(x):
    return tl.where(bits(x) >> 31 != 0, 5.421010862427522e-20, 18446744073709551616.0)


@triton.jit
def exp_of_reduced(mantissa, scaled, x):
    return times_power_of_two(mantissa, scaled + exp_bias(x)) * undo_bias(x)


@triton.jit
def exp(x):
    if x.dtype == tl.float64:
        result = tl.exp(x)
    else:
        _, scaled, r, _ = reduce_exp_anywhere(x)
        result = times_power_of_two(short_exp(r), scaled) * undo_bias(x)
    return result


@triton.jit
def rounded_exp(x):
    """e^x and what rounding it lost."""
    if x.dtype == tl.float64:
        result = tl.exp(x), tl.zeros_like(x)
    else:
        _, scaled, r, lost = reduce_exp_anywhere(x)
        undo = undo_bias(x)
        high = r + 1.0
        tail = fma(r * r, exp_curvature(r), r - (high - 1.0) + lost)
        total = high + tail
        power = times_power_of_two(tl.full(x.shape, 1.0, tl.float32), scaled) * undo
        lost = (tail - (total - high)) * power
        result = times_power_of_two(total, scaled) * undo, finite_or_zero(lost)
    return result


@triton.jit
def precise_exp(x):
    value, _ = rounded_exp(x)
    return value


@triton.jit
def exp_of_minus(x):
    if x.dtype == tl.float64:
        result = tl.exp(-x)
    else:
        _, scaled, r, _ = reduce_exp(-at_most(105.0, x), 64.0)
        result = times_power_of_two(short_exp(r), scaled) * 5.421010862427522e-20
    return result


# --- e^x together with phi(x) = e^x - 1 - x ---------------------------------------------------


@triton.jit
def exp_and_phi(x):
    if x.dtype == tl.float64:
        result = tl.exp(x), double_phi(x)
    else:
        k, scaled, r, _ = reduce_exp_anywhere(x)
        undo = undo_bias(x)
        curvature = exp_curvature(r)
        short = fma(fma(curvature, r, 1.0), r, 1.0)
        power = times_power_of_two(tl.full(x.shape, 1.0, tl.float32), scaled) * undo
        less_one = power - 1.0
        differences = fma(less_one, r, fma(k, -LN2_HIGH, less_one))
        phi = fma(power * curvature * r, r, fma(k, -LN2_LOW, differences))
        result = times_power_of_two(short, scaled) * undo, phi
    return result


@triton.jit
def double_phi(x):
    """There is no expm1 outside the CUDA library; from 1 on the plain difference keeps enough."""
    series = fma(x, 1.0 / 20.0, 1.0)  # 1 + x/3 (1 + x/4 (1 + ...))
    for k in tl.static_range(17):
        series = fma(series * x, 1.0 / (19 - k), 1.0)
    return tl.where(absolute(x) < 1.0, 0.5 * x * x * series, tl.exp(x) - 1.0 - x)


# --- logarithms -----------------------------------------------------------------------------


@triton.jit
def log1p_unit(a):
    if a.dtype == tl.float64:
        one_plus = a + 1.0
        result = tl.log(one_plus) + (a - (one_plus - 1.0)) / one_plus
    else:
        tail = polynomial(
            a,
            (-0.499999327647, 0.333305113373, -0.249585875069, 0.196954006653, -0.153553960616,
             0.106805544028, -0.0576644283533, 0.0202045745685, -0.00331846992878),
        )  # fmt: skip
        result = fma(a * a, tail, a)
    return result


@triton.jit
def minus_log1p_tail(f):
    tail = polynomial(
        f,
        (0.499999976445, -0.333333253538, 0.250007787128, -0.20001636363, 0.166270929251,
         -0.141961430824, 0.131140402791, -0.127773554715, 0.0777805630782),
    )  # fmt: skip
    return tail * (f * f)


@triton.jit
def reduce_log(x):
    integer = x.to(tl.int32, bitcast=True)
    k = (integer - 0x3F3504F3) >> 23
    return k.to(tl.float32), from_bits(integer - (k << 23)) - 1.0


@triton.jit
def reduce_log_anywhere(s):
    normal = bits(s) >= 0x00800000
    k, f = reduce_log(s * tl.where(normal, 1.0, 16777216.0))
    return k - tl.where(normal, 0.0, 24.0), f


@triton.jit
def log_or_limit(s, finite, at_zero):
    limit = tl.where(s == 0.0, at_zero, tl.where(s < 0.0, float("nan"), s))
    return tl.where((s > 0.0) & (s < INF), finite, limit)


@triton.jit
def reduce_log_near_one(s, t):
    k, reduced = reduce_log_anywhere(s)
    power = from_bits((127 - k.to(tl.int32)) << 23)
    return k, tl.where(absolute(k) < 1.5, fma(power, t, power - 1.0), reduced)


@triton.jit
def log_gap(s, t):
    if s.dtype == tl.float64:
        result = double_log_gap(s, t)
    else:
        k, f = reduce_log_near_one(s, t)
        exact = fma(k, -LN2_HIGH, t) - f
        result = log_or_limit(s, exact + fma(k, -LN2_LOW, minus_log1p_tail(f)), INF)
    return result


@triton.jit
def double_log_gap(s, t):
    series = fma(t, -1.0 / 26.0, 1.0 / 25.0)  # sum of (-t)^k / (k + 2)
    for k in tl.static_range(23):
        series = fma(series, -t, 1.0 / (24 - k))
    return tl.where(absolute(t) < 0.2, t * t * series, tl.where(s < INF, t - tl.log(s), s))


@triton.jit
def log_of_reduced(k, f):
    return fma(k, LN2_HIGH, fma(k, LN2_LOW, -minus_log1p_tail(f)) + f)


@triton.jit
def log(s):
    if s.dtype == tl.float64:
        result = tl.log(s)
    else:
        k, f = reduce_log_anywhere(s)
        result = log_or_limit(s, log_of_reduced(k, f), -INF)
    return result


@triton.jit
def log_of_normal(s):
    """Of a positive normal number, garbage else."""
    if s.dtype == tl.float64:
        result = tl.log(s)
    else:
        k, f = reduce_log(s)
        result = log_of_reduced(k, f)
    return result
