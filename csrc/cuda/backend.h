// The CUDA backend as the bindings see it: no CUDA types, so that any C++ compiler reads it.
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "../launch.h"
#include "../mixture.h"
#include "../softmax.h"

namespace vk::cuda {

// Gives that many bytes of device memory, for partial sums; called at most once in a launch. The
// memory may be reused by whatever comes later on the launch's stream.
using Allocate = std::function<void*(size_t bytes)>;

// Contiguous tensors to multiply, in place, by one number in the device's memory.
struct Scaling {
  struct Tensor {
    void* data;
    DType dtype;
    int64_t numel;
  };
  const void* factor;
  DType factor_dtype;
  int n;
  Tensor tensors[kMaxOperands];
};

struct Backend {
  const char* architectures;  // that were compiled
  int version;                // of the CUDA runtime: 13000 for 13.0
  int n_kernels;
  const KernelInfo* kernels;
  // Why the kernels cannot run on a device, empty if they can. Only where that is asked in earnest
  // is a context made there, and a kernel loaded to be sure.
  std::string (*why_unusable)(int device, bool in_earnest);
  // Enqueues a launch on a stream of a device, to whose memory all pointers lead, and returns at
  // once. Of the inputs, only the last can be noise. Throws std::runtime_error where CUDA reports
  // an error.
  void (*run)(const Launch&, int device, void* stream, const Allocate&);
  void (*scale)(const Scaling&, int device, void* stream);
  void (*run_mixture)(const MixtureLaunch&, int device, void* stream, const Allocate&);
  void (*run_softmax)(const SoftmaxLaunch&, int device, void* stream, const Allocate&);
};

const Backend& backend();

}  // namespace vk::cuda
