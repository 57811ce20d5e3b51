// A call of a kernel over whole rows of logits, in plain data: what the bindings hand to a backend.
//
// What a class gets depends on all logits of its row. So a kernel takes a row as a whole: it passes
// over it several times, while it lies in the cache, and keeps nothing of the row's size.
#pragma once

#include "launch.h"

namespace vk {

enum class SoftmaxKernel : int {
  kl,
  kl_vjp,
  sample,
  sample_vjp,
  relaxed,
  relaxed_hard,
  relaxed_vjp
};
constexpr int kSoftmaxKernels = 7;

struct SoftmaxLaunch {
  // Contiguous numbers: rows of classes, of which row r is number r mod `rows`; or one number for
  // each of several rows. Without data, there is none.
  struct Numbers {
    const void* data = nullptr;
    DType dtype = DType::f32;
    int64_t rows = 0;
  };
  struct Result {
    void* data = nullptr;
    DType dtype = DType::f32;
  };
  SoftmaxKernel kernel;
  DType compute = DType::f32;  // f32 or f64
  int64_t rows = 0, classes = 0;
  int64_t rows_per_sum = 1;  // of which a sum is made; they share an upstream gradient
  Numbers logits;
  Numbers other;           // rows: a prior's logits, or upstream gradients of rows
  Numbers upstream;        // gradients of sums, as they reach the logits
  Numbers other_upstream;  // and the other rows
  Numbers mask;            // which rows count, one byte each: the others give 0
  // Noise of Gumbel's distribution: of the rows, or int64[2], seed and stream to generate it from.
  Numbers noise;
  const void* seed = nullptr;
  Numbers temperature;  // one, or one each for `rows_per_sum` rows
  double unimix = 0.0;  // share of a uniform distribution
  Result rows_out[2];   // rows, those that are wanted
  Result sums;
  int threads = 1;
};

}  // namespace vk
