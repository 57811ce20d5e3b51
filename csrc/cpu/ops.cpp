// Runs launches on one instruction set: the build compiles this file and kernels.cpp once for each.

#include <utility>

#include "../kernel_list.h"
#include "backend.h"
#include "engine.h"
#include "mixture.h"
#include "softmax.h"

VK_BEGIN

// Plain arrays: code that a container shared between instruction sets would bring along could run
// on a machine that lacks them.
struct Table {
  static constexpr int kSize = count_kernels();
  KernelInfo infos[kSize];
  Kernel kernels[kSize];

  Table() {
    KernelInfo* info = infos;
    for_each_kernel([&info](auto function, const char* scale) {
      *info++ = kernel_info<decltype(function)>(scale);
    });
    add_all(std::make_integer_sequence<int, VK_CPU_PARTS>());
  }

 private:
  template <int... part>
  void add_all(std::integer_sequence<int, part...>) {
    (add_kernels<part>(kernels), ...);
  }
};

static const Table& table() {
  static const Table instance;
  return instance;
}

static void run(const Launch& launch) {
  const Kernel& kernel = table().kernels[launch.kernel];
  if (launch.compute == DType::f64) {
    run_tiles(launch, kernel.f64);
  } else {
    run_tiles(launch, kernel.f32);
  }
}

static void run_logistic_mixture(const MixtureLaunch& launch) {
  if (launch.compute == DType::f64) {
    run_mixture<RgbLogistic<double>>(launch);
  } else {
    run_mixture<RgbLogistic<float>>(launch);
  }
}

static void run_softmax(const SoftmaxLaunch& launch) {
  if (launch.compute == DType::f64) {
    run_softmax_rows<double>(launch);
  } else {
    run_softmax_rows<float>(launch);
  }
}

static void philox_words(uint32_t* out, int64_t first, int64_t counters, const int64_t* key) {
  const NoiseKey noise{static_cast<uint64_t>(key[0]), static_cast<uint64_t>(key[1])};
  for_each_philox_block(first, counters, noise, [&](const PhiloxWords& words, int64_t at, int64_t n) {
    for (int64_t j = 0; j < n; ++j) {
      for (int k = 0; k < 4; ++k) out[4 * (at + j) + k] = words.w[k][j];
    }
  });
}

#define VK_STRINGIFY(name) #name
#define VK_NAME_OF(name) VK_STRINGIFY(name)

const cpu::Backend* backend() {
  static const cpu::Backend instance = {VK_NAME_OF(VK_TARGET),
                                        Table::kSize, table().infos, run,
                                        run_logistic_mixture, run_softmax, philox_words};
  return &instance;
}

VK_END
