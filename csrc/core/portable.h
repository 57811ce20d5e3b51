// What differs between the compilers that read the shared headers.
//
// The mathematics is compiled several times: once per CPU instruction set, and by nvcc. Everything
// lives in a namespace named after the target (VK_TARGET, set by the build), so that the linker
// can never replace one target's copy of a function by another's.
#pragma once

#include <cstdint>
#include <cstring>

#ifndef VK_TARGET
#define VK_TARGET generic
#endif

// VK_FN is a function of numbers, VK_PASS one that has threads or lanes work together, VK_EACH a
// lambda that it calls for each element.
#if defined(__CUDACC__)
#define VK_FN __host__ __device__ __forceinline__
#define VK_PASS __device__ __forceinline__
#define VK_EACH
#else
#define VK_FN inline __attribute__((always_inline))
#define VK_PASS inline __attribute__((always_inline))
#define VK_EACH __attribute__((always_inline))
#endif

#define VK_BEGIN \
  namespace vk { \
  inline namespace VK_TARGET {
#define VK_END \
  }            \
  }

VK_BEGIN

// A fixed number of results of one element. (std::array is no device type.)
template <class T, int N>
struct Values {
  T v[N];
};

template <class To, class From>
VK_FN To bit_cast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof(To));
  return to;
}

VK_END
