// The CPU backend as the bindings see it: one table per instruction set compiled in.
#pragma once

#include "../launch.h"
#include "../mixture.h"
#include "../softmax.h"

namespace vk::cpu {

struct Backend {
  const char* isa;
  int n_kernels;
  const KernelInfo* kernels;
  void (*run)(const Launch&);
  void (*run_mixture)(const MixtureLaunch&);
  void (*run_softmax)(const SoftmaxLaunch&);
  // The raw words of counters first, first+1, ...: 4 of them each.
  void (*philox_words)(uint32_t* out, int64_t first, int64_t counters, const int64_t* key);
};

}  // namespace vk::cpu
