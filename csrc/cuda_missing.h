// Takes the place of cuda_launcher.h in builds without CUDA kernels.
#pragma once

#include "exchange/machine.h"
#include "launch_reader.h"

namespace vk {

[[noreturn]] inline void no_kernels() {
  throw std::runtime_error("this build has no CUDA kernels");
}

inline void run_cuda(int, float, bool, const std::vector<int64_t>&, size_t, py::tuple, py::tuple,
                     int, uintptr_t, py::function) {
  no_kernels();
}

inline void run_mixture_cuda(bool, const std::vector<int64_t>&, py::tuple, py::tuple, py::object,
                             py::tuple, int, uintptr_t, py::function) {
  no_kernels();
}

inline void run_softmax_cuda(int, bool, const std::vector<int64_t>&, double, py::tuple, py::tuple,
                             int, uintptr_t, py::function) {
  no_kernels();
}

inline void scale_cuda(py::tuple, py::tuple, int, uintptr_t) { no_kernels(); }

inline std::string why_unusable_cuda(int, bool) { no_kernels(); }

inline const exchange::Runners* cuda_runners() { return nullptr; }

inline py::object cuda_build() { return py::none(); }

}  // namespace vk
