// Multiplies tensors, in place, by a number in memory. Where that is 1, as the gradient of a loss
// usually is, every block returns at once: cheaper than asking on the host, which would wait.
#pragma once

#include "backend.h"
#include "group.h"

VK_BEGIN

constexpr int kScaleThreads = 256;
// Threads go on from piece to piece: no more blocks than the device holds at a time, since each of
// them costs something where the number is 1. So many have 64 KiB under way.
constexpr int kScaleBlocksPerProcessor = 4;

// A thread has so many pieces of 16 bytes under way at a time.
constexpr int kScaleInFlight = 4;

inline unsigned scale_blocks(int64_t largest, int processors) {
  const int64_t wanted = divide_up(largest, 4 * kScaleInFlight * kScaleThreads);
  return static_cast<unsigned>(least_of(wanted, int64_t{kScaleBlocksPerProcessor} * processors));
}

// The numbers of 16 bytes of memory.
template <class Storage>
struct Piece {
  static constexpr int kSize = 16 / sizeof(Storage);
  Storage numbers[kSize];

  template <class T>
  VK_FN void scale(T factor) {
#pragma unroll
    for (int j = 0; j < kSize; ++j) store_as(numbers + j, load_as<T>(numbers[j]) * factor);
  }
};

// Several pieces, so many apart, all of them read first.
template <class Storage, int n, class T>
__device__ void scale_pieces(uint4* pieces, int64_t apart, T factor) {
  uint4 bits[n];
#pragma unroll
  for (int k = 0; k < n; ++k) bits[k] = pieces[k * apart];
#pragma unroll
  for (int k = 0; k < n; ++k) {
    auto piece = bit_cast<Piece<Storage>>(bits[k]);
    piece.scale(factor);
    pieces[k * apart] = bit_cast<uint4>(piece);
  }
}

template <class Storage, class T>
__device__ void scale_numbers(const cuda::Scaling::Tensor& tensor, T factor) {
  constexpr int kSize = Piece<Storage>::kSize;
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kScaleThreads + threadIdx.x;
  const int64_t threads = static_cast<int64_t>(gridDim.x) * kScaleThreads;
  Storage* numbers = static_cast<Storage*>(tensor.data);
  // Before the first piece, and after the last: fewer numbers each than one holds.
  const int past = static_cast<int>(reinterpret_cast<uintptr_t>(numbers) % 16 / sizeof(Storage));
  const int64_t before = least_of((kSize - past) % kSize, tensor.numel);
  const int64_t pieces = (tensor.numel - before) / kSize, after = before + pieces * kSize;
  const int64_t edge = thread < before ? thread : after + (thread - before);
  if (thread < before + (tensor.numel - after)) {
    store_as(numbers + edge, load_as<T>(numbers[edge]) * factor);
  }
  uint4* first = reinterpret_cast<uint4*>(numbers + before);
  int64_t k = thread;
#pragma unroll 1
  for (; k + (kScaleInFlight - 1) * threads < pieces; k += kScaleInFlight * threads) {
    scale_pieces<Storage, kScaleInFlight>(first + k, threads, factor);
  }
#pragma unroll 1
  for (; k < pieces; k += threads) scale_pieces<Storage, 1>(first + k, threads, factor);
}

__device__ inline void scale_tensor(const cuda::Scaling::Tensor& tensor, double factor) {
  switch (tensor.dtype) {
    case DType::f64: return scale_numbers<double>(tensor, factor);
    case DType::bf16: return scale_numbers<BFloat16>(tensor, static_cast<float>(factor));
    case DType::f16: return scale_numbers<Half>(tensor, static_cast<float>(factor));
    default: return scale_numbers<float>(tensor, static_cast<float>(factor));
  }
}

static __global__ void __launch_bounds__(kScaleThreads, kScaleBlocksPerProcessor)
    scale_kernel(const __grid_constant__ cuda::Scaling scaling) {
  const double factor = load_element<double>(scaling.factor, scaling.factor_dtype, 0);
  if (factor == 1.0) return;
#pragma unroll 1
  for (int k = 0; k < scaling.n; ++k) scale_tensor(scaling.tensors[k], factor);
}

VK_END
