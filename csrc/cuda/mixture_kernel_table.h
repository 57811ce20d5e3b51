// What the compilation of mixture.cu offers to the backend.
#pragma once

#include "../core/portable.h"
#include "../mixture.h"
#include "runtime.cuh"

VK_BEGIN

constexpr int kMixtureThreads = 128;  // and pixels of a block

struct MixtureArguments {
  MixtureLaunch::Planes params, x, upstream;
  void* out;
  double* partial;  // one for each block, of values
  DType out_dtype;
  int64_t components, pixels;
  unsigned blocks_per_row;
};

cudaError_t enqueue_mixture(const MixtureArguments&, bool in_double, unsigned blocks, cudaStream_t);

// All of them, up to a null.
const void* const* mixture_code();

VK_END
