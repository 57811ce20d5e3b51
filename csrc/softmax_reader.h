// Reads calls over rows of logits from plain Python numbers.
#pragma once

#include "launch_reader.h"
#include "softmax.h"

namespace vk {

// (address, dtype, rows) | None
inline SoftmaxLaunch::Numbers read_numbers(py::handle spec) {
  if (spec.is_none()) return {};
  const auto fields = py::reinterpret_borrow<py::tuple>(spec);
  return {pointer(fields[0]), static_cast<DType>(fields[1].cast<int>()), fields[2].cast<int64_t>()};
}

inline SoftmaxLaunch::Result read_result(py::handle spec) {
  const SoftmaxLaunch::Numbers numbers = read_numbers(spec);
  return {const_cast<void*>(numbers.data), numbers.dtype};
}

// Shape: (rows, classes, rows of a sum). Inputs: logits, other rows, upstream gradients, those of
// other rows, mask, noise, its seed, temperatures.
// Outputs: rows, further rows, sums.
inline SoftmaxLaunch read_softmax(int kernel, bool in_double, const std::vector<int64_t>& shape,
                                  double unimix, const py::tuple& inputs,
                                  const py::tuple& outputs) {
  if (kernel < 0 || kernel >= kSoftmaxKernels) bad_launch("no such kernel of rows");
  if (shape.size() != 3 || inputs.size() != 8 || outputs.size() != 3) {
    bad_launch("a kernel of rows takes 3 sizes, 8 inputs and 3 outputs");
  }
  SoftmaxLaunch launch;
  launch.kernel = static_cast<SoftmaxKernel>(kernel);
  launch.compute = in_double ? DType::f64 : DType::f32;
  launch.rows = shape[0], launch.classes = shape[1], launch.rows_per_sum = shape[2];
  if (launch.rows * launch.classes * launch.rows_per_sum == 0) bad_launch("no elements");
  launch.unimix = unimix;
  launch.logits = read_numbers(inputs[0]);
  launch.other = read_numbers(inputs[1]);
  launch.upstream = read_numbers(inputs[2]);
  launch.other_upstream = read_numbers(inputs[3]);
  launch.mask = read_numbers(inputs[4]);
  launch.noise = read_numbers(inputs[5]);
  launch.seed = read_numbers(inputs[6]).data;
  launch.temperature = read_numbers(inputs[7]);
  launch.rows_out[0] = read_result(outputs[0]);
  launch.rows_out[1] = read_result(outputs[1]);
  launch.sums = read_result(outputs[2]);
  return launch;
}

}  // namespace vk
