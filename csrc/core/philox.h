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

VK_FN Values<uint32_t, 4> philox(uint64_t counter, NoiseKey key) {
  uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32);
  uint32_t c2 = static_cast<uint32_t>(key.stream), c3 = static_cast<uint32_t>(key.stream >> 32);
  uint32_t k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
#if defined(__CUDACC__)
#pragma unroll
#else
#pragma GCC unroll 10
#endif
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = static_cast<uint64_t>(c0) * 0xD2511F53u;
    const uint64_t p1 = static_cast<uint64_t>(c2) * 0xCD9E8D57u;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// -log((w + 1/2) / 2^32), accurate at both ends: 1 - u comes from the complement of the integer.
VK_FN float minus_log_uniform(uint32_t w) {
  constexpr float kUnit = 2.3283064365386963e-10f, kHalf = 1.1641532182693481e-10f;
  const float u = fma(static_cast<float>(w), kUnit, kHalf);
  const float one_minus_u = fma(static_cast<float>(~w), kUnit, kHalf);
  const ReducedLog reduced = reduce_log(u);
  const float f = reduced.k == 0.0f ? -one_minus_u : reduced.f;
  return fma(reduced.k, -kLn2High, fma(reduced.k, -kLn2Low, minus_log1p_tail(f)) - f);
}

// radius * (cos, sin) of the angle 2 pi w / 2^32. The upper two bits of w, rounded, are the
// quadrant; the others, as a signed number, the angle from its middle axis.
VK_FN Values<float, 2> on_circle(float radius, uint32_t w) {
  const float x = static_cast<float>(static_cast<int32_t>(w << 2)) *
                  3.6572951981e-10f;  // in [-pi/4, pi/4)
  const float z = x * x;
  const float sine_tail = polynomial(z, -1.6666654611e-1f, 8.3321608736e-3f, -1.9515295891e-4f);
  const float cosine_tail =
      polynomial(z, 4.166664568298827e-2f, -1.388731625493765e-3f, 2.443315711809948e-5f);
  const float sine = fma(sine_tail * z, x, x);
  const float cosine = fma(cosine_tail * z, z, fma(z, -0.5f, 1.0f));
  const uint32_t quadrant = w + 0x20000000u;  // in bits 30 and 31
  const bool swapped = (quadrant & 0x40000000u) != 0u;
  const uint32_t sin_sign = quadrant & 0x80000000u, cos_sign = (quadrant + 0x40000000u) & 0x80000000u;
  const float c = bit_cast<float>(bit_cast<uint32_t>(swapped ? sine : cosine) ^ cos_sign);
  const float s = bit_cast<float>(bit_cast<uint32_t>(swapped ? cosine : sine) ^ sin_sign);
  return {{radius * c, radius * s}};
}

VK_FN Values<float, 2> box_muller(float, uint32_t radius_word, uint32_t angle_word) {
  return on_circle(square_root(2.0f * minus_log_uniform(radius_word)), angle_word);
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

VK_FN float gumbel(float, uint32_t word) { return -log_of_normal(minus_log_uniform(word)); }

VK_FN double gumbel(double, uint32_t word) {
  return -std::log(-std::log((static_cast<double>(word) + 0.5) * 0x1p-32));
}

VK_END
