// A call of a mixture's kernel, in plain data: what the bindings hand to a backend.
//
// A datapoint is one row of planes, each with one number for every pixel. Its parameters are
// 1 + n planes for each of K components: the K logits of the weights, then K planes of each of the
// density's n parameters. The density of a pixel is the weighted sum of the components'.
#pragma once

#include "launch.h"

namespace vk {

struct MixtureLaunch {
  struct Planes {
    const void* data;  // contiguous
    DType dtype;
  };
  DType compute = DType::f32;  // f32 or f64
  int64_t rows = 0, components = 0, pixels = 0;
  Planes params, x;     // [rows, 1 + n, components, pixels], [rows, observed, pixels]
  Planes upstream;      // [rows]: gradients of the values; without, the values are wanted
  void* out = nullptr;  // [rows]: log-likelihoods, or the gradients of `params`
  DType out_dtype = DType::f32;
  int threads = 1;

  bool wants_gradients() const { return upstream.data != nullptr; }
};

}  // namespace vk
