// Runs launches: one kernel over the tiles and, if several partial sums make up a number, one that
// combines them.

#include <algorithm>
#include <climits>
#include <string>
#include <utility>

#include "../kernel_list.h"
#include "backend.h"
#include "combine_kernel.h"
#include "double_launch.h"
#include "kernel_table.h"
#include "mixture_kernel_table.h"
#include "probe.h"
#include "scale_kernel.h"
#include "softmax_kernel_table.h"

VK_BEGIN

namespace {

struct Table {
  static constexpr int kSize = count_kernels();
  KernelInfo infos[kSize];
  TileKernels kernels[kSize];
  int distances_to_both[kSize];  // in double

  Table() {
    int k = 0;
    for_each_kernel([this, &k](auto function, const char* scale) {
      infos[k] = kernel_info<decltype(function)>(scale);
      distances_to_both[k++] = distance_to_both<decltype(function)>();
    });
    add_all(std::make_integer_sequence<int, VK_CUDA_PARTS>());
    add_double_kernels(kernels);
  }

 private:
  template <int... part>
  void add_all(std::integer_sequence<int, part...>) {
    (add_kernels<part>(kernels), ...);
  }
};

const Table& table() {
  static const Table instance;
  return instance;
}

constexpr KernelInfo kScaleInfo = {"scale", "", "", 1, 1};
constexpr KernelInfo kCombineInfo = {"combine", "", "", 1, 1};

// The kernel for a launch's form, else the one for any.
const TileKernel& choose(const TileKernels& kernels, const TileKernel& any, const Launch& launch,
                         Plan& plan) {
  for (int k = 0; k < kernels.n_dense; ++k) {
    const DenseKernel& dense = kernels.dense[k];
    if (dense.launch.take(launch, plan.tiles)) return dense.kernel;
  }
  return any;
}

void run(const Launch& launch, int device, void* stream_address, const cuda::Allocate& allocate) {
  const bool in_double = launch.compute == DType::f64;
  const int distance = in_double ? table().distances_to_both[launch.kernel] : 0;
  if (distance > 0) {
    const Launch of_both = launch_of_both(launch, distance, table().infos[launch.kernel + distance]);
    return run(of_both, device, stream_address, allocate);
  }
  const auto stream = static_cast<cudaStream_t>(stream_address);
  const KernelInfo& info = table().infos[launch.kernel];
  const TileKernels& kernels = table().kernels[launch.kernel];
  const TileKernel& any = in_double ? kernels.f64 : kernels.f32;
  Plan plan(launch, any.width);
  const TileKernel& kernel = choose(kernels, any, launch, plan);
  if (plan.tiles.tiling.tiles() > INT_MAX || plan.combine_blocks() > INT_MAX) {
    fail(info, "more elements than one launch can visit");
  }
  if (plan.combine.n > 0) {
    plan.use_workspace(static_cast<double*>(allocate(plan.workspace_bytes())));
  }
  const DeviceGuard guard(device, info);
  check(kernel.enqueue(plan.tiles, stream), info);
  if (plan.combine.n == 0) return;
  check(launch_kernel(combine_kernel, static_cast<unsigned>(plan.combine_blocks()), kCombineThreads,
                      stream, plan.combine),
        info);
}

void scale(const cuda::Scaling& scaling, int device, void* stream_address) {
  int64_t largest = 0;
  for (int k = 0; k < scaling.n; ++k) largest = std::max(largest, scaling.tensors[k].numel);
  if (largest == 0) return;
  const int processors = device_attribute(cudaDevAttrMultiProcessorCount, device, kScaleInfo);
  const DeviceGuard guard(device, kScaleInfo);
  check(launch_kernel(scale_kernel, scale_blocks(largest, processors), kScaleThreads,
                      static_cast<cudaStream_t>(stream_address), scaling),
        kScaleInfo);
}

constexpr KernelInfo kMixtureInfo = {"mixture", "", "", 1, 1};

void combine_mixture(const MixtureLaunch& launch, const MixtureArguments& arguments,
                     cudaStream_t stream) {
  Layout numbers, terms;
  numbers.append(launch.rows, arguments.blocks_per_row);
  terms.append(arguments.blocks_per_row, 1);
  Output output;
  output.kind = Output::Kind::row_sum;
  output.data = launch.out;
  output.dtype = launch.out_dtype;
  CombineArguments combine;
  combine.n = 1;
  Combination& sums = combine.combinations[0];
  sums = make_combination(output, numbers, terms, launch.rows, arguments.blocks_per_row);
  sums.partial = arguments.partial;
  check(launch_kernel(combine_kernel, static_cast<unsigned>(sums.blocks), kCombineThreads, stream,
                      combine),
        kMixtureInfo);
}

void run_mixture(const MixtureLaunch& launch, int device, void* stream_address,
                 const cuda::Allocate& allocate) {
  const auto stream = static_cast<cudaStream_t>(stream_address);
  const int64_t per_row = divide_up(launch.pixels, kMixtureThreads);
  if (launch.rows * per_row > INT_MAX) fail(kMixtureInfo, "more pixels than one launch can visit");
  const auto blocks = static_cast<unsigned>(launch.rows * per_row);
  MixtureArguments arguments{launch.params,     launch.x,      launch.upstream,
                             launch.out,        nullptr,       launch.out_dtype,
                             launch.components, launch.pixels, static_cast<unsigned>(per_row)};
  const bool wants_value = !launch.wants_gradients();
  if (wants_value) arguments.partial = static_cast<double*>(allocate(blocks * sizeof(double)));
  const DeviceGuard guard(device, kMixtureInfo);
  check(enqueue_mixture(arguments, launch.compute == DType::f64, blocks, stream), kMixtureInfo);
  if (wants_value) combine_mixture(launch, arguments, stream);
}

constexpr KernelInfo kSoftmaxInfo = {"softmax", "", "", 1, 1};

void combine_rows(const SoftmaxLaunch& launch, const double* rows, cudaStream_t stream) {
  const int64_t n = launch.rows / launch.rows_per_sum;
  Layout numbers, terms;
  numbers.append(n, launch.rows_per_sum);
  terms.append(launch.rows_per_sum, 1);
  Output output;
  output.kind = Output::Kind::row_sum;
  output.data = launch.sums.data;
  output.dtype = launch.sums.dtype;
  CombineArguments combine;
  combine.n = 1;
  Combination& sums = combine.combinations[0];
  sums = make_combination(output, numbers, terms, n, launch.rows_per_sum);
  sums.partial = rows;
  check(launch_kernel(combine_kernel, static_cast<unsigned>(sums.blocks), kCombineThreads, stream,
                      combine),
        kSoftmaxInfo);
}

void run_softmax(const SoftmaxLaunch& launch, int device, void* stream_address,
                 const cuda::Allocate& allocate) {
  const auto stream = static_cast<cudaStream_t>(stream_address);
  const int64_t blocks = divide_up(launch.rows, softmax_rows_of_block(launch.classes));
  if (blocks > INT_MAX) fail(kSoftmaxInfo, "more rows than one launch can visit");
  double* numbers = nullptr;
  if (launch.sums.data != nullptr) {
    numbers = static_cast<double*>(allocate(launch.rows * sizeof(double)));
  }
  const DeviceGuard guard(device, kSoftmaxInfo);
  check(enqueue_softmax({launch, numbers}, static_cast<unsigned>(blocks), stream), kSoftmaxInfo);
  if (numbers != nullptr) combine_rows(launch, numbers, stream);
}

void load_all() {
  for (int k = 0; k < Table::kSize; ++k) {
    const KernelInfo& info = table().infos[k];
    const TileKernels& kernels = table().kernels[k];
    check(load(kernels.f32.code), info);
    if (kernels.f64.code != nullptr) check(load(kernels.f64.code), info);
    for (int d = 0; d < kernels.n_dense; ++d) check(load(kernels.dense[d].kernel.code), info);
  }
  for (auto code = mixture_code(); *code != nullptr; ++code) check(load(*code), kMixtureInfo);
  for (auto code = softmax_code(); *code != nullptr; ++code) check(load(*code), kSoftmaxInfo);
  check(load(code_of(combine_kernel)), kCombineInfo);
}

std::string why_unusable_on(int device, bool in_earnest) {
  return why_unusable(device, in_earnest, code_of(scale_kernel), kScaleInfo, load_all);
}

}  // namespace

VK_END

const vk::cuda::Backend& vk::cuda::backend() {
  static const Backend instance = {VK_CUDA_ARCHITECTURES, runtime_version(), Table::kSize,
                                   table().infos, why_unusable_on, run, scale, run_mixture,
                                   run_softmax};
  return instance;
}
