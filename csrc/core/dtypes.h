// Storage types and their conversion to and from the arithmetic type: by instructions on a GPU, in
// integer arithmetic elsewhere, so that it vectorises everywhere.
#pragma once

#include "../launch.h"
#include "scalar.h"

VK_BEGIN

struct BFloat16 {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};
struct Bool {
  uint8_t bits;
};
struct SignedByte {
  uint8_t bits;
};
struct CountByte {
  uint8_t bits;
};

template <class T>
VK_FN T load_as(float x) { return static_cast<T>(x); }
template <class T>
VK_FN T load_as(double x) { return static_cast<T>(x); }

template <class T>
VK_FN T load_as(BFloat16 x) {
  return static_cast<T>(bit_cast<float>(static_cast<uint32_t>(x.bits) << 16));
}

template <class T>
VK_FN T load_as(Half x) {
#if defined(__CUDA_ARCH__)
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(x.bits));
  return static_cast<T>(value);
#else
  const uint32_t magnitude = static_cast<uint32_t>(x.bits & 0x7FFFu) << 13;
  const float scaled = bit_cast<float>(magnitude) * 0x1p112f;  // moves the exponent's bias
  const uint32_t special = scaled >= 65536.0f ? 0x7F800000u : 0u;  // infinities and NaN
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  return static_cast<T>(bit_cast<float>(bit_cast<uint32_t>(scaled) | special | sign));
#endif
}

#if defined(__CUDA_ARCH__)
// A byte in the bits of a float, where it is 2^-133 of its number: there is nothing to convert.
VK_FN float byte_in_place(uint32_t word, int byte) {
  uint32_t bits;
  asm("prmt.b32 %0, %1, 0, %2;" : "=r"(bits) : "r"(word), "r"(0x4044 | byte << 8));
  return bit_cast<float>(bits);
}

// Of such a byte, the same numbers as by division by 255, for all 256.
VK_FN float intensity(float in_place) {
  constexpr double kScale = 0x1p133, kInverse = static_cast<double>(1.0f / 255.0f);
  constexpr float kHigh = static_cast<float>(kScale * kInverse);
  constexpr float kLow = static_cast<float>(kScale * (1.0 / 255.0 - kInverse));
  return fma(in_place, kHigh, in_place * kLow);
}
#endif

// Images: bytes are intensities in 0..255.
template <class T>
VK_FN T load_as(uint8_t x) {
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(T) == sizeof(float)) {
    return intensity(byte_in_place(x, 0));
  } else {
    constexpr T kInverse = T(1) / T(255);
    const T value = static_cast<T>(x), quotient = value * kInverse;
    return fma(fma(T(-255), quotient, value), kInverse, quotient);
  }
#else
  return static_cast<T>(x) / T(255);
#endif
}

// Images in -1 .. 1: 2x is exact, so that this rounds twice, however it is written.
template <class T>
VK_FN T load_as(SignedByte x) { return T(2) * load_as<T>(x.bits) - T(1); }
template <class T>
VK_FN T load_as(CountByte x) { return static_cast<T>(x.bits); }

template <class T>
VK_FN T load_as(Bool x) { return static_cast<T>(x.bits != 0); }

VK_FN void store_as(float* to, float x) { *to = x; }
VK_FN void store_as(float* to, double x) { *to = static_cast<float>(x); }
VK_FN void store_as(double* to, float x) { *to = x; }
VK_FN void store_as(double* to, double x) { *to = x; }

// Rounds to nearest even; NaN stays NaN.
VK_FN void store_as(BFloat16* to, float x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(to->bits) : "f"(x));
#else
  const uint32_t bits = bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  to->bits = static_cast<uint16_t>(x == x ? rounded : (bits >> 16) | 0x40u);
#endif
}

VK_FN void store_as(Half* to, float x) {
#if defined(__CUDA_ARCH__)
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to->bits) : "f"(x));
#else
  const uint32_t bits = bit_cast<uint32_t>(x);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  const uint32_t normal = (magnitude - 0x38000000u + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13;
  // Adding 1/2 aligns the last bit of a subnormal half with the last bit of the float.
  const uint32_t subnormal = bit_cast<uint32_t>(bit_cast<float>(magnitude) + 0.5f) - 0x3F000000u;
  uint32_t half = magnitude < 0x38800000u ? subnormal : normal;
  half = magnitude >= 0x477FF000u ? 0x7C00u : half;
  half = magnitude > 0x7F800000u ? 0x7E00u : half;
  to->bits = static_cast<uint16_t>(half | sign);
#endif
}

// Two of them in a word, the first in its lower half.
template <class Storage>
VK_FN uint32_t packed(float first, float second) {
  Storage low, high;
  store_as(&low, first);
  store_as(&high, second);
  return static_cast<uint32_t>(high.bits) << 16 | low.bits;
}
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
template <>
VK_FN uint32_t packed<BFloat16>(float first, float second) {
  uint32_t bits;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(second), "f"(first));
  return bits;
}
#endif

template <class Storage>
VK_FN void store_as(Storage* to, double x) {
  store_as(to, static_cast<float>(x));
}

template <class Storage>
struct Tag {
  using type = Storage;
};

// Calls visit(Tag<storage type>{}) for a floating dtype.
template <class Visit>
VK_FN auto with_float_dtype(DType dtype, Visit visit) {
  switch (dtype) {
    case DType::f64: return visit(Tag<double>{});
    case DType::bf16: return visit(Tag<BFloat16>{});
    case DType::f16: return visit(Tag<Half>{});
    default: return visit(Tag<float>{});
  }
}

template <class Visit>
VK_FN auto with_dtype(DType dtype, Visit visit) {
  switch (dtype) {
    case DType::u8: return visit(Tag<uint8_t>{});
    case DType::u8_signed: return visit(Tag<SignedByte>{});
    case DType::u8_count: return visit(Tag<CountByte>{});
    case DType::boolean: return visit(Tag<Bool>{});
    default: return with_float_dtype(dtype, visit);
  }
}

VK_END
