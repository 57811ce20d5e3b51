// The extension module: hands launches to the backends.

#include "exchange/bindings.h"

#include "cpu/dispatch.h"
#include "cpu/dlpack.h"
#include "launch_reader.h"
#include "mixture_reader.h"
#include "softmax_reader.h"

#if defined(VK_CUDA)
#include "cuda_launcher.h"
#else
#include "cuda_missing.h"
#endif

using namespace vk;

namespace {

const cpu::Backend* active_backend = nullptr;

void run(int kernel, float factor, bool in_double, const std::vector<int64_t>& shape,
         size_t row_dims, py::tuple inputs, py::tuple outputs, int threads) {
  Launch launch = read_launch(active_backend->kernels, active_backend->n_kernels, kernel, factor,
                              in_double, shape, row_dims, inputs, outputs);
  launch.threads = threads;
  py::gil_scoped_release release;
  active_backend->run(launch);
}

void run_mixture(bool in_double, const std::vector<int64_t>& shape, py::tuple params, py::tuple x,
                 py::object upstream, py::tuple out, int threads) {
  MixtureLaunch launch = read_mixture(in_double, shape, params, x, upstream, out);
  launch.threads = threads;
  py::gil_scoped_release release;
  active_backend->run_mixture(launch);
}

void run_softmax(int kernel, bool in_double, const std::vector<int64_t>& shape, double unimix,
                 py::tuple inputs, py::tuple outputs, int threads) {
  SoftmaxLaunch launch = read_softmax(kernel, in_double, shape, unimix, inputs, outputs);
  launch.threads = threads;
  py::gil_scoped_release release;
  active_backend->run_softmax(launch);
}

std::vector<std::string> usable_isas() {
  std::vector<std::string> names;
  for (const cpu::Backend* backend : cpu::usable_backends()) names.push_back(backend->isa);
  return names;
}

void use_isa(const std::string& name) {
  for (const cpu::Backend* backend : cpu::usable_backends()) {
    if (name == backend->isa) {
      active_backend = backend;
      return;
    }
  }
  throw py::value_error("no kernels for instruction set '" + name + "' on this machine");
}

py::list kernels() { return list_kernels(active_backend->kernels, active_backend->n_kernels); }

std::vector<uint32_t> philox_words(int64_t first, int64_t counters, int64_t seed, int64_t stream) {
  std::vector<uint32_t> words(4 * counters);
  const int64_t key[2] = {seed, stream};
  active_backend->philox_words(words.data(), first, counters, key);
  return words;
}

const exchange::Runners cpu_runners = {
    [](Launch& launch, const exchange::Queue&) { active_backend->run(launch); },
    [](MixtureLaunch& launch, const exchange::Queue&) { active_backend->run_mixture(launch); },
    [](SoftmaxLaunch& launch, const exchange::Queue&) { active_backend->run_softmax(launch); }};

}  // namespace

PYBIND11_MODULE(_core, m) {
  const std::vector<const cpu::Backend*> usable = cpu::usable_backends();
  if (usable.empty()) {
    throw py::import_error(
        "it was compiled for processors with AVX2; "
        "-C cmake.define.VAEKERN_CPU_LEVELS=ALL compiles for others, too");
  }
  active_backend = usable.front();
  m.doc() = "Compiled kernels of vaekern";
  m.def("run", &run);
  m.def("run_mixture", &run_mixture);
  m.def("run_softmax", &run_softmax);
  m.def("kernels", &kernels);
  m.def("run_cuda", &run_cuda);
  m.def("scale_cuda", &scale_cuda);
  m.def("run_mixture_cuda", &run_mixture_cuda);
  m.def("run_softmax_cuda", &run_softmax_cuda);
  m.def("why_unusable_cuda", &why_unusable_cuda);
  m.attr("cuda") = cuda_build();
  m.def("usable_isas", &usable_isas);
  m.def("use_isa", &use_isa);
  m.def("isa", [] { return active_backend->isa; });
  m.def("philox_words", &philox_words);
  m.def("pooled", [](std::vector<int64_t> shape, int dtype) {
    return cpu::pooled_capsule(std::move(shape), static_cast<DType>(dtype));
  });
  exchange::bind(m, cpu_runners, cuda_runners());
  m.def("keep_at_most", [](size_t bytes) { cpu::BufferPool::instance().set_limit(bytes); });
  m.def("kept", [] { return cpu::BufferPool::instance().kept(); });
#if defined(_OPENMP)
  m.attr("openmp") = true;
#else
  m.attr("openmp") = false;
#endif
}
