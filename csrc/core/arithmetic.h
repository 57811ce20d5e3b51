// Arithmetic: operations rounded once, what rounding lost, and polynomials. This file holds the
// only target-dependent code of the mathematics.
#pragma once

#include <cmath>

#include "portable.h"

VK_BEGIN

#if defined(__FMA__) || defined(__CUDA_ARCH__) || defined(__ARM_FEATURE_FMA)
#define VK_HAS_FMA
#endif

// a * b + c, rounded once where the target has the instruction. Without it a call to the C
// library would cost 20-40 times the arithmetic, so the baseline build rounds twice.
VK_FN float fma(float a, float b, float c) {
#if defined(VK_HAS_FMA)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
VK_FN double fma(double a, double b, double c) { return std::fma(a, b, c); }

VK_FN float absolute(float x) { return std::fabs(x); }
VK_FN double absolute(double x) { return std::fabs(x); }
VK_FN float with_sign_of(float x, float magnitude) {
  return bit_cast<float>((bit_cast<uint32_t>(x) & 0x80000000u) | bit_cast<uint32_t>(magnitude));
}
// One number for positive x, another for negative ones: a select on a GPU, elsewhere operations on
// bits, since compilers turn nested selects into long chains of masks.
VK_FN float by_sign(float x, float of_positive, float of_negative) {
#if defined(__CUDA_ARCH__)
  return x < 0.0f ? of_negative : of_positive;
#else
  const uint32_t negative = static_cast<uint32_t>(bit_cast<int32_t>(x) >> 31);
  const uint32_t positive_bits = bit_cast<uint32_t>(of_positive);
  const uint32_t difference = positive_bits ^ bit_cast<uint32_t>(of_negative);
  return bit_cast<float>(positive_bits ^ (negative & difference));
#endif
}
VK_FN float square_root(float x) { return std::sqrt(x); }
VK_FN double square_root(double x) { return std::sqrt(x); }

// 1 / x and the square root of x where x and the result are normal numbers, rounded to nearest. On a
// GPU by the very instructions that its compiler makes of them, without its branch for other numbers.
VK_FN float inverse_of_normal(float x) {
#if defined(__CUDA_ARCH__)
  float near;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(near) : "f"(x));
  return fma(near, fma(-x, near, 1.0f), near);
#else
  return 1.0f / x;
#endif
}
VK_FN double inverse_of_normal(double x) { return 1.0 / x; }

VK_FN float square_root_of_normal(float x) {
#if defined(__CUDA_ARCH__)
  float inverse;
  asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(x));
  const float near = x * inverse;
  return fma(fma(-near, near, x), 0.5f * inverse, near);
#else
  return std::sqrt(x);
#endif
}

// Both words of a product.
VK_FN uint64_t wide_product(uint32_t a, uint32_t b) {
#if defined(__CUDA_ARCH__)
  uint64_t product;  // of 64-bit factors, the compiler also adds up products of the upper words, 0
  asm("mul.wide.u32 %0, %1, %2;" : "=l"(product) : "r"(a), "r"(b));
  return product;
#else
  return static_cast<uint64_t>(a) * b;
#endif
}

// The first argument wins only if it is smaller (larger): NaN in x passes through.
template <class T>
VK_FN T at_most(T bound, T x) {
  return bound < x ? bound : x;
}
template <class T>
VK_FN T at_least(T bound, T x) {
  return bound > x ? bound : x;
}

// What rounding a * b to `product` lost.
VK_FN double product_error(double a, double b, double product) { return fma(a, b, -product); }
VK_FN float product_error(float a, float b, float product) {
#if defined(VK_HAS_FMA)
  return fma(a, b, -product);
#else
  constexpr float kSplit = 4097.0f;  // Dekker (1971): halves of 12 bits multiply exactly
  const float a_high = kSplit * a - (kSplit * a - a), b_high = kSplit * b - (kSplit * b - b);
  const float a_low = a - a_high, b_low = b - b_high;
  return a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low);
#endif
}

// A rounded result, and what rounding it lost.
template <class T>
struct Rounded {
  T value, lost;
};

template <class T>
VK_FN Rounded<T> difference(T a, T b) {
  const T value = a - b;
  const T shift = value - a;
  return {value, (a - (value - shift)) - (b + shift)};
}

template <class T>
VK_FN T finite_or_zero(T x) {
  return absolute(x) < T(HUGE_VAL) ? x : T(0);
}

// (a - b) * scale
template <class T>
VK_FN Rounded<T> scaled_difference(T a, T b, T scale) {
  const Rounded<T> d = difference(a, b);
  const T value = d.value * scale;
  const T lost = fma(d.lost, scale, product_error(d.value, scale, value));
  return {value, finite_or_zero(lost)};
}

// u^2 / 2, for which the error of u would count twice
template <class T>
VK_FN T half_square(Rounded<T> u) {
  return u.value * fma(T(0.5), u.value, u.lost);
}

// c[first] + c[first + step] x + c[first + 2 step] x^2 + ... (unrolled by recursion: a loop would
// keep the loop around it scalar)
template <int first, int step, int n, class T>
VK_FN T horner(T x, const T (&c)[n]) {
  if constexpr (first + step >= n) return c[first];
  else return fma(horner<first + step, step>(x, c), x, c[first]);
}

// c0 + c1 x + c2 x^2 + ..., even and odd powers side by side: one chain of multiply-adds is longer
// than what processors look ahead.
template <class T, class... Coefficients>
VK_FN T polynomial(T x, Coefficients... coefficients) {
  const T c[] = {coefficients...};
  if constexpr (sizeof...(coefficients) < 4) return horner<0, 1>(x, c);
  else return fma(horner<1, 2>(x * x, c), x, horner<0, 2>(x * x, c));
}

VK_END
