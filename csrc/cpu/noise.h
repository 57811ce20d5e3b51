// Blocks of noise. Philox runs on whole vectors here, by hand: the 32 x 32 -> 64-bit product of
// even lanes is one instruction that no compiler finds in the scalar code of core/philox.h.
#pragma once

#include "../core/philox.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

VK_BEGIN

// The words of consecutive counters, one array for each of the four.
struct PhiloxWords {
  static constexpr int64_t kCounters = 64;
  alignas(64) uint32_t w[4][kCounters];
};

#if defined(__AVX512F__)
struct PhiloxVector {
  using V = __m512i;
  static constexpr int kLanes = 8;  // 64-bit lanes, a word in the low half of each
  static V set(uint64_t x) { return _mm512_set1_epi64(static_cast<int64_t>(x)); }
  static V iota() { return _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0); }
  static V add(V a, V b) { return _mm512_add_epi64(a, b); }
  static V multiply(V a, V b) { return _mm512_mul_epu32(a, b); }
  static V high(V a) { return _mm512_srli_epi64(a, 32); }
  static V exclusive_or(V a, V b, V c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
  static void store_low(uint32_t* to, V a) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi64_epi32(a));
  }
};
#elif defined(__AVX2__)
struct PhiloxVector {
  using V = __m256i;
  static constexpr int kLanes = 4;
  static V set(uint64_t x) { return _mm256_set1_epi64x(static_cast<int64_t>(x)); }
  static V iota() { return _mm256_set_epi64x(3, 2, 1, 0); }
  static V add(V a, V b) { return _mm256_add_epi64(a, b); }
  static V multiply(V a, V b) { return _mm256_mul_epu32(a, b); }
  static V high(V a) { return _mm256_srli_epi64(a, 32); }
  static V exclusive_or(V a, V b, V c) { return _mm256_xor_si256(_mm256_xor_si256(a, b), c); }
  static void store_low(uint32_t* to, V a) {
    const V packed = _mm256_permutevar8x32_epi32(a, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
    _mm_store_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(packed));
  }
};
#endif

#if defined(__AVX2__)
inline void philox_block(PhiloxWords& words, uint64_t first, NoiseKey key) {
  using P = PhiloxVector;
  const P::V m0 = P::set(0xD2511F53u), m1 = P::set(0xCD9E8D57u);
  for (int64_t j = 0; j < PhiloxWords::kCounters; j += P::kLanes) {
    const P::V counter = P::add(P::set(first + j), P::iota());
    P::V c0 = counter, c1 = P::high(counter);
    P::V c2 = P::set(key.stream), c3 = P::set(key.stream >> 32);
    uint32_t k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
#pragma GCC unroll 10
    for (int round = 0; round < 10; ++round) {
      const P::V p0 = P::multiply(c0, m0), p1 = P::multiply(c2, m1);
      c0 = P::exclusive_or(P::high(p1), c1, P::set(k0));
      c2 = P::exclusive_or(P::high(p0), c3, P::set(k1));
      c1 = p1;
      c3 = p0;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    P::store_low(words.w[0] + j, c0);
    P::store_low(words.w[1] + j, c1);
    P::store_low(words.w[2] + j, c2);
    P::store_low(words.w[3] + j, c3);
  }
}
#else
inline void philox_block(PhiloxWords& words, uint64_t first, NoiseKey key) {
#pragma omp simd
  for (int64_t j = 0; j < PhiloxWords::kCounters; ++j) {
    const Values<uint32_t, 4> w = philox(first + static_cast<uint64_t>(j), key);
    words.w[0][j] = w.v[0];
    words.w[1][j] = w.v[1];
    words.w[2][j] = w.v[2];
    words.w[3][j] = w.v[3];
  }
}
#endif

// Calls use(words, offset, n) for the words of n counters from first + offset on, block by block.
template <class Use>
void for_each_philox_block(int64_t first, int64_t counters, NoiseKey key, Use use) {
  PhiloxWords words;
  for (int64_t done = 0; done < counters; done += PhiloxWords::kCounters) {
    philox_block(words, static_cast<uint64_t>(first + done), key);
    const int64_t left = counters - done;
    use(words, done, left < PhiloxWords::kCounters ? left : PhiloxWords::kCounters);
  }
}

// The normals of counters first, first+1, ...: 4 each.
template <class T>
void fill_normals(T* to, int64_t first, int64_t counters, NoiseKey key) {
  for_each_philox_block(first, counters, key, [&](const PhiloxWords& words, int64_t at, int64_t n) {
    T* out = to + 4 * at;
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
      const Values<T, 2> a = box_muller(T(0), words.w[0][j], words.w[1][j]);
      const Values<T, 2> b = box_muller(T(0), words.w[2][j], words.w[3][j]);
      out[4 * j] = a.v[0];
      out[4 * j + 1] = a.v[1];
      out[4 * j + 2] = b.v[0];
      out[4 * j + 3] = b.v[1];
    }
  });
}

// Likewise, noise of Gumbel's distribution.
template <class T>
void fill_gumbels(T* to, int64_t first, int64_t counters, NoiseKey key) {
  for_each_philox_block(first, counters, key, [&](const PhiloxWords& words, int64_t at, int64_t n) {
    T* out = to + 4 * at;
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) {
      out[4 * j] = gumbel(T(0), words.w[0][j]);
      out[4 * j + 1] = gumbel(T(0), words.w[1][j]);
      out[4 * j + 2] = gumbel(T(0), words.w[2][j]);
      out[4 * j + 3] = gumbel(T(0), words.w[3][j]);
    }
  });
}

VK_END
