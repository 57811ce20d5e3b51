// Reads calls of mixtures from plain Python numbers.
#pragma once

#include "launch_reader.h"
#include "mixture.h"

namespace vk {

// (address, dtype)
inline MixtureLaunch::Planes read_planes(const py::tuple& spec) {
  return {pointer(spec[0]), static_cast<DType>(spec[1].cast<int>())};
}

// Shape: (datapoints, components, pixels). `upstream` is None where values are wanted.
inline MixtureLaunch read_mixture(bool in_double, const std::vector<int64_t>& shape,
                                  const py::tuple& params, const py::tuple& x,
                                  const py::object& upstream, const py::tuple& out) {
  MixtureLaunch launch;
  launch.compute = in_double ? DType::f64 : DType::f32;
  if (shape.size() != 3) bad_launch("a mixture's shape has 3 numbers");
  launch.rows = shape[0], launch.components = shape[1], launch.pixels = shape[2];
  if (launch.rows * launch.components * launch.pixels == 0) bad_launch("no elements");
  launch.params = read_planes(params);
  launch.x = read_planes(x);
  launch.upstream = {nullptr, DType::f32};
  if (!upstream.is_none()) launch.upstream = read_planes(upstream);
  launch.out = pointer(out[0]);
  launch.out_dtype = static_cast<DType>(out[1].cast<int>());
  return launch;
}

}  // namespace vk
