// The library's noise: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011) and Box-Muller. Every backend reproduces this layout bit for bit:
//
//   key     = the 64-bit seed            (low word first)
//   counter = floor(i / 4) in words 0-1, the 64-bit stream in words 2-3
//   element i of the row-major tensor is normal number i mod 4 of its counter:
//   words (w0, w1) give normals 0 and 1, words (w2, w3) normals 2 and 3:
//   radius = sqrt(-2 log((w0 + 1/2) / 2^32)), angle = 2 pi w1 / 2^32, radius * (cos, sin).
//   Where noise follows Gumbel's distribution instead, element i is that of word i mod 4:
//   -log(-log((w + 1/2) / 2^32)).
//
// The noise of an element depends on the seed and its index alone: not on threads, tiles, shapes.
#pragma once

#include "scalar.h"

VK_BEGIN

struct NoiseKey {
  uint64_t seed, stream;
};

constexpr int kRounds = 10;

// The numbers that a seed gives a round.
struct RoundKey {
  uint32_t low, high;
};

VK_FN RoundKey round_key(uint64_t seed, int round) {
  const uint32_t n = static_cast<uint32_t>(round);
  return {static_cast<uint32_t>(seed) + n * 0x9E3779B9u,
          static_cast<uint32_t>(seed >> 32) + n * 0xBB67AE85u};
}

// Those of all rounds, in pieces of 16 bytes.
struct alignas(16) RoundKeys {
  RoundKey of_round[kRounds];
  uint64_t stream;
};

VK_FN Values<uint32_t, 4> philox(uint64_t counter, const RoundKeys& keys) {
  uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32);
  uint32_t c2 = static_cast<uint32_t>(keys.stream), c3 = static_cast<uint32_t>(keys.stream >> 32);
#if defined(__CUDACC__)
#pragma unroll
#else
#pragma GCC unroll 10
#endif
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t p0 = wide_product(c0, 0xD2511F53u), p1 = wide_product(c2, 0xCD9E8D57u);
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ keys.of_round[round].low;
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ keys.of_round[round].high;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
  }
  return {{c0, c1, c2, c3}};
}
VK_FN Values<uint32_t, 4> philox(uint64_t counter, NoiseKey key) {
  RoundKeys keys;
  keys.stream = key.stream;
#if defined(__CUDACC__)
#pragma unroll
#else
#pragma GCC unroll 10
#endif
  for (int round = 0; round < kRounds; ++round) keys.of_round[round] = round_key(key.seed, round);
  return philox(counter, keys);
}

// -2 log(u) with u = (w + 1/2) / 2^32, accurate at both ends. As a signed integer, a word of the
// upper half is 2 (u - 1) without a subtraction, of which the logarithm is a series; one of the lower
// half is 2 u, that is 2^k (2 + f) with f of the same kind.
VK_FN float minus_two_log_uniform(uint32_t w) {
  const float twice = fma(static_cast<float>(static_cast<int32_t>(w)), 0x1p-31f, 0x1p-32f);
  const uint32_t bits = bit_cast<uint32_t>(twice);
  const uint32_t one = 0x3F800000u, lower = bits < one ? bits : one;  // negative ones are greater
  const uint32_t k = (lower & 0x7F800000u) - one;                     // in units of 2^-23
  const float reduced = bit_cast<float>(bits - k);
  const float f = twice < 0.0f ? reduced : reduced - 2.0f;
  const float series = polynomial(f, 0.2499976456f, -0.0834074169f, 0.0304648373f, -0.0164642185f,
                                  -0.0056217448f, -0.0188491065f, -0.0127874669f, -0.0055203186f);
  return fma(static_cast<float>(static_cast<int32_t>(k)), -1.65259146e-7f, fma(series, f * f, -f));
}

// radius * (cos, sin) of the angle 2 pi w / 2^32. The upper two bits of w, rounded, are the
// quadrant; the others, as a signed number, the angle from its middle axis.
VK_FN Values<float, 2> on_circle(float radius, uint32_t w) {
  const float x = static_cast<float>(static_cast<int32_t>(w << 2)) *
                  3.6572951981e-10f;  // in [-pi/4, pi/4)
  const float z = x * x;
  const float sine_tail = polynomial(z, -1.6666654611e-1f, 8.3321608736e-3f, -1.9515295891e-4f);
  const float sine = fma(sine_tail * z, x, x);
  const float cosine = fma(polynomial(z, -4.99998847747e-1f, 4.16557773718e-2f, -1.35918481618e-3f), z, 1.0f);
  const uint32_t quadrant = w + 0x20000000u;  // in bits 30 and 31
  const uint32_t next = w + 0x60000000u;
  const bool swapped = static_cast<int32_t>(quadrant ^ next) < 0;
  const uint32_t sin_sign = quadrant & 0x80000000u, cos_sign = next & 0x80000000u;
  const float c = bit_cast<float>(bit_cast<uint32_t>(swapped ? sine : cosine) ^ cos_sign);
  const float s = bit_cast<float>(bit_cast<uint32_t>(swapped ? cosine : sine) ^ sin_sign);
  return {{radius * c, radius * s}};
}

VK_FN Values<float, 2> box_muller(float, uint32_t radius_word, uint32_t angle_word) {
  return on_circle(square_root_of_normal(minus_two_log_uniform(radius_word)), angle_word);
}

VK_FN Values<double, 2> box_muller(double, uint32_t radius_word, uint32_t angle_word) {
  const double u = (static_cast<double>(radius_word) + 0.5) * 0x1p-32;
  const double radius = std::sqrt(-2.0 * std::log(u));
#if defined(__CUDA_ARCH__)
  double sine, cosine;  // std::sin would bring a reduction of huge angles along
  ::sincospi(0x1p-31 * static_cast<double>(angle_word), &sine, &cosine);
  return {{radius * cosine, radius * sine}};
#else
  const double angle = 6.283185307179586476925 * 0x1p-32 * static_cast<double>(angle_word);
  return {{radius * std::cos(angle), radius * std::sin(angle)}};
#endif
}

VK_FN float gumbel(float, uint32_t word) { return -log_of_normal(0.5f * minus_two_log_uniform(word)); }

VK_FN double gumbel(double, uint32_t word) {
  return -std::log(-std::log((static_cast<double>(word) + 0.5) * 0x1p-32));
}

VK_END
