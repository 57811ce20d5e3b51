// Reads launches from plain Python numbers. It knows nothing of torch, nor of any backend.
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "launch.h"

namespace vk {

namespace py = pybind11;

[[noreturn]] inline void bad_launch(const std::string& what) {
  throw py::value_error("launch: " + what);
}

inline void append_dimension(Layout& layout, int64_t size, int64_t stride) {
  if (!layout.append(size, stride)) {
    bad_launch("more than " + std::to_string(kMaxDims) + " dimensions that cannot be merged");
  }
}

inline void* pointer(py::handle address) {
  void* data = reinterpret_cast<void*>(address.cast<uintptr_t>());
  if (data == nullptr) bad_launch("null pointer (a fake or meta tensor?)");
  return data;
}

// (address, dtype, strides or None) | (address of int64[2],) for noise | a number
inline Input read_input(py::handle spec, const std::vector<int64_t>& shape, int64_t numel) {
  Input input;
  if (py::isinstance<py::float_>(spec)) {
    input.kind = Input::Kind::constant;
    input.constant = spec.cast<double>();
    return input;
  }
  const auto fields = py::reinterpret_borrow<py::tuple>(spec);
  input.data = pointer(fields[0]);
  input.kind = fields.size() == 1 ? Input::Kind::noise : Input::Kind::tensor;
  if (input.kind == Input::Kind::noise) return input;
  input.dtype = static_cast<DType>(fields[1].cast<int>());
  if (fields[2].is_none()) {
    append_dimension(input.layout, numel, 1);
  } else {
    const auto strides = fields[2].cast<std::vector<int64_t>>();
    if (strides.size() != shape.size()) bad_launch("an input's strides do not match the shape");
    for (size_t d = 0; d < shape.size(); ++d) append_dimension(input.layout, shape[d], strides[d]);
  }
  return input;
}

// (kind, address, dtype, how many numbers, strides over the row dimensions or None for one number
// per row) | None to discard
inline Output read_output(py::handle spec, const std::vector<int64_t>& shape, size_t row_dims) {
  Output output;
  output.kind = Output::Kind::discard;
  if (spec.is_none()) return output;
  const auto fields = py::reinterpret_borrow<py::tuple>(spec);
  output.kind = static_cast<Output::Kind>(fields[0].cast<int>());
  output.data = pointer(fields[1]);
  output.dtype = static_cast<DType>(fields[2].cast<int>());
  output.numel = fields[3].cast<int64_t>();
  if (output.by_row() && fields[4].is_none()) {
    append_dimension(output.rows, output.numel, 1);
  } else if (output.by_row()) {
    const auto strides = fields[4].cast<std::vector<int64_t>>();
    if (strides.size() != row_dims) bad_launch("an output's strides do not match the rows");
    for (size_t d = 0; d < row_dims; ++d) append_dimension(output.rows, shape[d], strides[d]);
  }
  return output;
}

// A launch of one of a backend's kernels.
inline Launch read_launch(const KernelInfo* kernels, int n_kernels, int kernel, float factor,
                          bool in_double, const std::vector<int64_t>& shape, size_t row_dims,
                          const py::tuple& inputs, const py::tuple& outputs) {
  if (kernel < 0 || kernel >= n_kernels) bad_launch("no such kernel");
  const KernelInfo& info = kernels[kernel];
  const int n_inputs = static_cast<int>(inputs.size());
  Launch launch;
  launch.masked = n_inputs == info.n_inputs + 1;
  if ((n_inputs != info.n_inputs && !launch.masked) ||
      static_cast<int>(outputs.size()) != info.n_outputs) {
    bad_launch(std::string(info.op) + "." + info.variant + " takes " +
               std::to_string(info.n_inputs) + " inputs, perhaps a mask, and " +
               std::to_string(info.n_outputs) + " outputs, got " + std::to_string(inputs.size()) +
               " and " + std::to_string(outputs.size()));
  }
  launch.kernel = kernel;
  launch.factor = factor;
  launch.compute = in_double ? DType::f64 : DType::f32;
  launch.rows = launch.cols = 1;
  for (size_t d = 0; d < shape.size(); ++d) (d < row_dims ? launch.rows : launch.cols) *= shape[d];
  const int64_t numel = launch.rows * launch.cols;
  if (numel == 0) bad_launch("no elements");
  launch.n_inputs = info.n_inputs;
  launch.n_outputs = info.n_outputs;
  for (int k = 0; k < n_inputs; ++k) launch.inputs[k] = read_input(inputs[k], shape, numel);
  if (launch.masked && (launch.inputs[info.n_inputs].kind != Input::Kind::tensor ||
                        launch.inputs[info.n_inputs].dtype != DType::boolean)) {
    bad_launch("a mask is a boolean tensor");
  }
  for (int k = 0; k < info.n_outputs; ++k) {
    launch.outputs[k] = read_output(outputs[k], shape, row_dims);
  }
  launch.simplify();
  return launch;
}

inline py::list list_kernels(const KernelInfo* kernels, int n_kernels) {
  py::list all;
  for (int k = 0; k < n_kernels; ++k) {
    const KernelInfo& info = kernels[k];
    all.append(py::make_tuple(info.op, info.scale, info.variant, info.n_inputs, info.n_outputs));
  }
  return all;
}

}  // namespace vk
