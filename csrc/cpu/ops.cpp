// Instantiates the list of operations for one instruction set (the build compiles this file once
// for each) and runs launches on it.

#include "../kernel_list.h"
#include "backend.h"
#include "engine.h"
#include "mixture.h"

VK_BEGIN

struct Kernel {
  TileKernels<float> f32;
  TileKernels<double> f64;
};

// Plain arrays: code that a container shared between instruction sets would bring along could run
// on a machine that lacks them.
struct Table {
  static constexpr int kSize = count_kernels();
  KernelInfo infos[kSize];
  Kernel kernels[kSize];

  Table() {
    int k = 0;
    for_each_kernel([this, &k](auto function, const char* scale) {
      using Function = decltype(function);
      using Results = std::make_index_sequence<Function::n_outputs>;
      infos[k] = kernel_info<Function>(scale);
      kernels[k] = {float_variants<Function>(Results()), double_variants<Function>(Results())};
      ++k;
    });
  }

 private:
  template <class Function, size_t... K>
  static TileKernels<float> float_variants(std::index_sequence<K...>) {
    constexpr int uniform = Function::uniform_input;
    return {{{tile_kernel<Function, float, K + 1, -1>, tile_kernel<Function, float, K + 1, uniform>}...},
            uniform};
  }

  // double is for checking: one variant, which computes everything, is enough.
  template <class Function, size_t... K>
  static TileKernels<double> double_variants(std::index_sequence<K...>) {
    return {{{tile_kernel<Function, double, sizeof...(K) + 0 * K, -1>, nullptr}...}, -1};
  }

  template <class Function, class T, size_t wanted, int uniform>
  static void tile_kernel(const T* const* inputs, T* const* outputs, int64_t n) {
    apply_to_tile<Function, uniform>(inputs, outputs, n,
                                     std::make_index_sequence<Function::n_inputs>(),
                                     std::make_index_sequence<wanted>());
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
                                        run_logistic_mixture, philox_words};
  return &instance;
}

VK_END
