// What the compilations of kernels.cu offer to the backend.
#pragma once

#include "arguments.h"
#include "runtime.cuh"

VK_BEGIN

struct TileKernel {
  int width;  // of a thread's group
  cudaError_t (*enqueue)(const TileArguments&, cudaStream_t);
  const void* code;
};

struct TileKernels {
  TileKernel f32, f64;
};

// The list of kernels is compiled in several parts, side by side; each fills in its own.
template <int part>
void add_kernels(TileKernels* by_number);

VK_END
