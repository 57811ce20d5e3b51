// What the compilation of softmax.cu offers to the backend.
#pragma once

#include "../core/portable.h"
#include "../softmax.h"
#include "runtime.cuh"

VK_BEGIN

constexpr int kSoftmaxThreads = 128;
// A warp takes a row of at most so many classes, a block a longer one.
constexpr int64_t kClassesOfWarp = 1024;

constexpr int64_t softmax_rows_of_block(int64_t classes) {
  return classes > kClassesOfWarp ? 1 : kSoftmaxThreads / 32;
}

struct SoftmaxArguments {
  SoftmaxLaunch launch;
  double* numbers;  // one for each row, of which sums are made
};

cudaError_t enqueue_softmax(const SoftmaxArguments&, unsigned blocks, cudaStream_t);

// All of them, up to a null.
const void* const* softmax_code();

VK_END
