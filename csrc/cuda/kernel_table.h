// What the compilations of kernels.cu offer to the backend.
#pragma once

#include "plan.h"
#include "runtime.cuh"

VK_BEGIN

struct TileKernel {
  int width;  // of a term of its sums
  cudaError_t (*enqueue)(const TileArguments&, cudaStream_t);
  const void* code;
};

struct DenseKernel {
  DenseLaunch launch;
  TileKernel kernel;
};

struct TileKernels {
  TileKernel f32{}, f64{};  // for any launch; in double, there may be none (double_launch.h)
  const DenseKernel* dense = nullptr;
  int n_dense = 0;
};

// The list of kernels is compiled in several parts, side by side; each fills in its own.
template <int part>
void add_kernels(TileKernels* by_number);
void add_double_kernels(TileKernels* by_number);

VK_END
