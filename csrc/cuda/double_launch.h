// Which kernel carries out a launch in double. Double is for checking, so that what is computed and
// discarded costs less than a kernel to compile. Host code, no CUDA.
#pragma once

#include <algorithm>

#include "../kernel_list.h"

VK_BEGIN

// How far the kernel for value and vjp stands behind a function's own (kernel_list.h); 0: it has
// one of its own.
template <class Function>
constexpr int distance_to_both() {
  if constexpr (!is_part_of_both<Function>()) return 0;
  else return std::is_same_v<Function, ValueOf<typename OperationOf<Function>::type>> ? 2 : 1;
}

// What makes a value, or a vjp, by the kernel for both: the same arithmetic, the same bits.
inline Launch launch_of_both(const Launch& launch, int distance, const KernelInfo& both) {
  const bool is_value = launch.n_inputs < both.n_inputs;
  Launch result = launch;
  result.kernel += distance;
  result.n_inputs = both.n_inputs;
  result.n_outputs = both.n_outputs;
  if (is_value) {  // no upstream gradient; of the outputs, the first
    std::copy_backward(launch.inputs, launch.inputs + kMaxOperands - 1, result.inputs + kMaxOperands);
    result.inputs[0] = {Input::Kind::constant};
    std::fill(result.outputs + 1, result.outputs + both.n_outputs, Output{Output::Kind::discard});
  } else {  // all but the first
    std::copy_backward(launch.outputs, launch.outputs + kMaxOperands - 1, result.outputs + kMaxOperands);
    result.outputs[0] = {Output::Kind::discard};
  }
  return result;
}

VK_END
