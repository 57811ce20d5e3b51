// Multiplies tensors, in place, by a number in memory. Where that is 1, as the gradient of a loss
// usually is, every block returns at once: cheaper than asking on the host, which would wait.
#pragma once

#include "backend.h"
#include "group.h"

VK_BEGIN

constexpr int kScaleThreads = 256, kScalePerThread = 8;
constexpr int64_t kScalePerBlock = kScaleThreads * kScalePerThread;

VK_FN int64_t scale_blocks(int64_t numel) { return (numel + kScalePerBlock - 1) / kScalePerBlock; }

template <class T>
__device__ void scale_block(const cuda::Scaling::Tensor& tensor, int64_t block, T factor) {
#pragma unroll
  for (int k = 0; k < kScalePerThread; ++k) {
    const int64_t i = block * kScalePerBlock + k * kScaleThreads + threadIdx.x;
    if (i >= tensor.numel) return;
    const T value = load_element<T>(tensor.data, tensor.dtype, i);
    store_element(tensor.data, tensor.dtype, i, value * factor);
  }
}

static __global__ void __launch_bounds__(kScaleThreads)
    scale_kernel(const __grid_constant__ cuda::Scaling scaling) {
  const double factor = load_element<double>(scaling.factor, scaling.factor_dtype, 0);
  if (factor == 1.0) return;
  int64_t block = blockIdx.x;
  int k = 0;
  for (; block >= scale_blocks(scaling.tensors[k].numel); ++k) {
    block -= scale_blocks(scaling.tensors[k].numel);
  }
  if (scaling.tensors[k].dtype == DType::f64) scale_block(scaling.tensors[k], block, factor);
  else scale_block(scaling.tensors[k], block, static_cast<float>(factor));
}

VK_END
