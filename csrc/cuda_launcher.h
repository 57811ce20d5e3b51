// The Python face of the CUDA backend; the emulated one has the same.
#pragma once

#include "cuda/backend.h"
#include "exchange/machine.h"
#include "launch_reader.h"
#include "mixture_reader.h"
#include "softmax_reader.h"

namespace vk {

inline cuda::Allocate bytes_from(const py::function& allocate) {
  return [&allocate](size_t bytes) {
    py::gil_scoped_acquire acquire;
    return pointer(allocate(bytes));
  };
}

inline void run_cuda(int kernel, float factor, bool in_double, const std::vector<int64_t>& shape,
                     size_t row_dims, py::tuple inputs, py::tuple outputs, int device,
                     uintptr_t stream, py::function allocate) {
  const cuda::Backend& backend = cuda::backend();
  const Launch launch = read_launch(backend.kernels, backend.n_kernels, kernel, factor, in_double,
                                    shape, row_dims, inputs, outputs);
  const cuda::Allocate allocate_bytes = bytes_from(allocate);
  py::gil_scoped_release release;
  backend.run(launch, device, reinterpret_cast<void*>(stream), allocate_bytes);
}

inline void run_mixture_cuda(bool in_double, const std::vector<int64_t>& shape, py::tuple params,
                             py::tuple x, py::object upstream, py::tuple out, int device,
                             uintptr_t stream, py::function allocate) {
  const MixtureLaunch launch = read_mixture(in_double, shape, params, x, upstream, out);
  const cuda::Allocate allocate_bytes = bytes_from(allocate);
  py::gil_scoped_release release;
  cuda::backend().run_mixture(launch, device, reinterpret_cast<void*>(stream), allocate_bytes);
}

inline void run_softmax_cuda(int kernel, bool in_double, const std::vector<int64_t>& shape,
                             double unimix, py::tuple inputs, py::tuple outputs, int device,
                             uintptr_t stream, py::function allocate) {
  const SoftmaxLaunch launch = read_softmax(kernel, in_double, shape, unimix, inputs, outputs);
  const cuda::Allocate allocate_bytes = bytes_from(allocate);
  py::gil_scoped_release release;
  cuda::backend().run_softmax(launch, device, reinterpret_cast<void*>(stream), allocate_bytes);
}

// Tensors: (address, dtype, how many numbers).
inline void scale_cuda(py::tuple tensors, py::tuple factor, int device, uintptr_t stream) {
  cuda::Scaling scaling{};
  scaling.factor = pointer(factor[0]);
  scaling.factor_dtype = static_cast<DType>(factor[1].cast<int>());
  if (tensors.size() > kMaxOperands) bad_launch("more tensors than one launch can scale");
  for (const py::handle spec : tensors) {
    const auto fields = py::reinterpret_borrow<py::tuple>(spec);
    const auto numel = fields[2].cast<int64_t>();
    if (numel == 0) continue;
    scaling.tensors[scaling.n++] = {pointer(fields[0]), static_cast<DType>(fields[1].cast<int>()),
                                    numel};
  }
  py::gil_scoped_release release;
  cuda::backend().scale(scaling, device, reinterpret_cast<void*>(stream));
}

inline std::string why_unusable_cuda(int device, bool in_earnest) {
  py::gil_scoped_release release;
  return cuda::backend().why_unusable(device, in_earnest);
}

// For the fast path.
inline const exchange::Runners* cuda_runners() {
  using exchange::Queue;
  static const exchange::Runners runners = {
      [](Launch& launch, const Queue& queue) {
        cuda::backend().run(launch, queue.device, queue.stream, queue.allocate);
      },
      [](MixtureLaunch& launch, const Queue& queue) {
        cuda::backend().run_mixture(launch, queue.device, queue.stream, queue.allocate);
      },
      [](SoftmaxLaunch& launch, const Queue& queue) {
        cuda::backend().run_softmax(launch, queue.device, queue.stream, queue.allocate);
      },
      [](cuda::Scaling& scaling, const Queue& queue) {
        cuda::backend().scale(scaling, queue.device, queue.stream);
      }};
  return &runners;
}

// What was compiled.
inline py::object cuda_build() {
  const cuda::Backend& backend = cuda::backend();
  py::dict build;
  build["version"] = backend.version;
  build["architectures"] = backend.architectures;
  return build;
}

}  // namespace vk
