"""The library's noise; the twin of ``csrc/core/philox.h``, where its layout stands.

A block of noise is made of quads: the four normals of a counter are neighbours in a row.
"""

# mypy: ignore-errors

import triton
import triton.language as tl

from vaekern._backends.triton.math.logarithm import log_of_normal
from vaekern._backends.triton.math.scalar import (
    bits,
    fma,
    from_bits,
    polynomial,
    square_root,
    square_root_of_normal,
)


@triton.jit
def philox(counter, seed_pointer):
    """The four words of each counter. The key and the stream are read from device memory."""
    key, stream = tl.load(seed_pointer), tl.load(seed_pointer + 1)
    c0 = counter.to(tl.uint32)
    # Below 2^31 counters their high words are known to be 0.
    c1 = c0 * 0 if counter.dtype.primitive_bitwidth == 32 else (counter >> 32).to(tl.uint32)
    c2 = c0 * 0 + stream.to(tl.uint32)
    c3 = c0 * 0 + (stream >> 32).to(tl.uint32)
    return tl.philox_impl(c0, c1, c2, c3, key.to(tl.uint32), (key >> 32).to(tl.uint32))


@triton.jit
def float_of_signed(word):
    return word.to(tl.int32, bitcast=True).to(tl.float32)


@triton.jit
def minus_two_log_uniform(w):
    twice = fma(float_of_signed(w), 4.656612873077393e-10, 2.3283064365386963e-10)
    word = bits(twice)
    k = (tl.minimum(word, 0x3F800000) & 0x7F800000) - 0x3F800000
    reduced = from_bits(word - k)
    f = tl.where(twice < 0.0, reduced, reduced - 2.0)
    series = polynomial(
        f,
        (0.2499976456, -0.0834074169, 0.0304648373, -0.0164642185, -0.0056217448, -0.0188491065,
         -0.0127874669, -0.0055203186),
    )  # fmt: skip
    return fma(float_of_signed(k), -1.65259146e-7, fma(series, f * f, -f))


@triton.jit
def on_circle(radius, w):
    x = float_of_signed(w << 2) * 3.6572951981e-10
    z = x * x
    sine_tail = polynomial(z, (-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4))
    cosine_tail = polynomial(z, (-4.99998847747e-1, 4.16557773718e-2, -1.35918481618e-3))
    sine = fma(sine_tail * z, x, x)
    cosine = fma(cosine_tail, z, 1.0)
    quadrant = w + 0x20000000
    next = w + 0x60000000
    swapped = (quadrant ^ next).to(tl.int32, bitcast=True) < 0
    sin_sign = quadrant & 0x80000000
    cos_sign = next & 0x80000000
    c = from_bits(bits(tl.where(swapped, sine, cosine)) ^ cos_sign)
    s = from_bits(bits(tl.where(swapped, cosine, sine)) ^ sin_sign)
    return radius * c, radius * s


@triton.jit
def box_muller(radius_word, angle_word, dtype: tl.constexpr):
    if dtype == tl.float64:
        u = (radius_word.to(tl.float64) + 0.5) * 2.3283064365386963e-10
        radius = square_root(-2.0 * tl.log(u))
        angle = angle_word.to(tl.float64) * 1.4629180792671596e-09  # 2 pi / 2^32
        result = radius * tl.cos(angle), radius * tl.sin(angle)
    else:
        result = on_circle(square_root_of_normal(minus_two_log_uniform(radius_word)), angle_word)
    return result


@triton.jit
def normals_of_quads(first_quad, seed_pointer, dtype: tl.constexpr):
    """[rows, n] counters -> [rows, 4 n] normals."""
    w0, w1, w2, w3 = philox(first_quad, seed_pointer)
    n0, n1 = box_muller(w0, w1, dtype)
    n2, n3 = box_muller(w2, w3, dtype)
    quads = tl.join(tl.join(n0, n2), tl.join(n1, n3))
    return tl.reshape(quads, [first_quad.shape[0], first_quad.shape[1] * 4])


@triton.jit
def normals_of_elements(index, seed_pointer, dtype: tl.constexpr):
    """[rows, n] indices of elements -> as many normals, at four times the work: for rows whose
    length is no multiple of 4, which begin in the middle of a quad."""
    w0, w1, w2, w3 = philox(index >> 2, seed_pointer)
    upper, odd = (index & 2) != 0, (index & 1) != 0
    cos, sin = box_muller(tl.where(upper, w2, w0), tl.where(upper, w3, w1), dtype)
    return tl.where(odd, sin, cos)


@triton.jit
def gumbels_of_elements(index, seed_pointer, dtype: tl.constexpr):
    """Indices of elements -> as many numbers of Gumbel's distribution."""
    w0, w1, w2, w3 = philox(index >> 2, seed_pointer)
    upper, odd = (index & 2) != 0, (index & 1) != 0
    word = tl.where(upper, tl.where(odd, w3, w2), tl.where(odd, w1, w0))
    if dtype == tl.float64:
        result = -tl.log(-tl.log((word.to(tl.float64) + 0.5) * 2.3283064365386963e-10))
    else:
        result = -log_of_normal(0.5 * minus_two_log_uniform(word))
    return result
