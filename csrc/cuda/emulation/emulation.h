// CUDA's primitives on the host: enough of them for the kernels' sources to compile with an
// ordinary C++ compiler, and to run. What the emulation shows is that indexing, tails, barriers and
// sums are right; it is no GPU, and its speed means nothing.
//
// The threads of a block run one at a time (scheduler.h), blocks one after the other.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "runtime.h"
#include "scheduler.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
// One copy is enough while one block runs at a time.
#define __shared__ static

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};

namespace vk_emulation {

// A kernel is known by its address; null stands for one that is always loaded.
template <class Callable>
void launch(const void* kernel, unsigned grid, unsigned block, cudaStream_t stream,
            const Callable& callable) {
  if (!admit_launch(kernel, grid, block, stream)) return;
  run_grid(
      grid, block, [](const void* context) { (*static_cast<const Callable*>(context))(); },
      &callable);
}

// Fills a block's shared variable, which a GPU leaves uninitialised, with bytes that are NaN as
// numbers. (The build of the emulated kernels calls this after each declaration.)
template <class T>
void poison(T& shared) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (first_in_block(&shared)) std::memset(static_cast<void*>(&shared), 0xFF, sizeof(T));
}

template <class T>
T shuffle(uint32_t mask, T value, int from_lane, Site site) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8));
  using Bits = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  const uint64_t got = exchange(mask, std::bit_cast<Bits>(value), from_lane, site);
  return std::bit_cast<T>(static_cast<Bits>(got));
}

}  // namespace vk_emulation

// --- barriers and shuffles: the defaults name the place of the call
// -------------------------------

inline void __syncthreads(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  vk_emulation::wait_for_block({file, line});
}

inline void __syncwarp(uint32_t mask = 0xFFFFFFFFu, const char* file = __builtin_FILE(),
                       int line = __builtin_LINE()) {
  vk_emulation::exchange(mask, 0, vk_emulation::lane(), {file, line});
}

template <class T>
T __shfl_sync(uint32_t mask, T value, int from_lane, const char* file = __builtin_FILE(),
              int line = __builtin_LINE()) {
  return vk_emulation::shuffle(mask, value, from_lane & (vk_emulation::kWarp - 1), {file, line});
}

template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lane_bits, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  return vk_emulation::shuffle(mask, value, vk_emulation::lane() ^ lane_bits, {file, line});
}

// Past the end of the warp, a lane's own value.
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned distance, const char* file = __builtin_FILE(),
                   int line = __builtin_LINE()) {
  const int lane = vk_emulation::lane(), from = lane + static_cast<int>(distance);
  return vk_emulation::shuffle(mask, value, from < vk_emulation::kWarp ? from : lane, {file, line});
}
