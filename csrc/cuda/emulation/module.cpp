// The kernels on emulated threads as an extension module, for tests: the CUDA side of the real one,
// for pointers to the host's memory.

#include "../../core/philox.h"
#include "../../cuda_launcher.h"
#include "../runtime.cuh"
#include "scheduler.h"

namespace {

namespace py = vk::py;

py::list kernels() {
  const vk::cuda::Backend& backend = vk::cuda::backend();
  return vk::list_kernels(backend.kernels, backend.n_kernels);
}

__global__ void philox_kernel(uint32_t* words, int64_t first, int64_t counters, vk::NoiseKey key) {
  const int64_t k = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (k >= counters) return;
  const auto four = vk::philox(static_cast<uint64_t>(first + k), key);
  for (int j = 0; j < 4; ++j) words[4 * k + j] = four.v[j];
}

// Of devices that are (major, minor, multiprocessors, whether there is code for it).
void set_machine(int driver, int runtime,
                 const std::vector<std::tuple<int, int, int, bool>>& devices) {
  vk_emulation::Machine machine;
  machine.driver = driver;
  machine.runtime = runtime;
  machine.devices.clear();
  for (const auto& [major, minor, processors, has_code] : devices) {
    machine.devices.push_back({major, minor, processors, has_code});
  }
  vk_emulation::set_machine(machine);
}

// (device, stream, blocks, threads, captured) of each launch since the last call.
py::list launches() {
  py::list found;
  for (const vk_emulation::LaunchRecord& l : vk_emulation::take_launches()) {
    found.append(py::make_tuple(l.device, l.stream, l.grid, l.block, l.captured));
  }
  return found;
}

// As the CPU module's.
std::vector<uint32_t> philox_words(int64_t first, int64_t counters, int64_t seed, int64_t stream) {
  std::vector<uint32_t> words(4 * counters);
  const vk::NoiseKey key{static_cast<uint64_t>(seed), static_cast<uint64_t>(stream)};
  const auto blocks = static_cast<unsigned>((counters + 127) / 128);
  vk::launch_kernel(philox_kernel, blocks, 128, nullptr, words.data(), first, counters, key);
  return words;
}

}  // namespace

PYBIND11_MODULE(_emulated, m) {
  m.doc() = "CUDA kernels of vaekern on emulated threads";
  m.def("kernels", &kernels);
  m.def("run_cuda", &vk::run_cuda);
  m.def("scale_cuda", &vk::scale_cuda);
  m.def("run_mixture_cuda", &vk::run_mixture_cuda);
  m.def("run_softmax_cuda", &vk::run_softmax_cuda);
  m.attr("cuda_runners") = vk::py::capsule(vk::cuda_runners(), vk::exchange::kRunners);
  m.def("philox_words", &philox_words);
  m.def("why_unusable_cuda", &vk::why_unusable_cuda);
  m.def("set_order", &vk_emulation::set_order);
  m.def("set_machine", &set_machine);
  m.def("launches", &launches);
  m.def("has_context", &vk_emulation::has_context);
  m.def("loaded_kernels", &vk_emulation::loaded_kernels);
  m.def("current_context", &vk_emulation::current_context);
  m.def("use_device", &vk_emulation::use_device);
  m.def("new_stream", &vk_emulation::new_stream);
  m.def("begin_capture", &vk_emulation::begin_capture);
  m.def("end_capture", &vk_emulation::end_capture);
  m.def("fail_next_launch", &vk_emulation::fail_next_launch);
}
