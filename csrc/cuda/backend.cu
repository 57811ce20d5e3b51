// Runs launches: one kernel over the tiles and, if several partial sums make up a number, one that
// combines them.

#include <climits>
#include <stdexcept>
#include <string>
#include <utility>

#include "../kernel_list.h"
#include "backend.h"
#include "combine_kernel.h"
#include "kernel_table.h"
#include "mixture_kernel_table.h"
#include "scale_kernel.h"

VK_BEGIN

namespace {

struct Table {
  static constexpr int kSize = count_kernels();
  KernelInfo infos[kSize];
  TileKernels kernels[kSize];

  Table() {
    KernelInfo* info = infos;
    for_each_kernel([&info](auto function, const char* scale) {
      *info++ = kernel_info<decltype(function)>(scale);
    });
    add_all(std::make_integer_sequence<int, VK_CUDA_PARTS>());
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

[[noreturn]] void fail(const KernelInfo& info, const std::string& why) {
  std::string name = info.op;
  if (*info.scale != '\0') name += std::string(" (") + info.scale + ")";
  if (*info.variant != '\0') name += std::string(", ") + info.variant;
  throw std::runtime_error("CUDA kernel " + name + ": " + why);
}

void check(cudaError_t error, const KernelInfo& info) {
  if (error != cudaSuccess) fail(info, cudaGetErrorString(error));
}

// Makes a device current, and afterwards the one that was.
class DeviceGuard {
 public:
  DeviceGuard(int device, const KernelInfo& info) : device_(device) {
    check(cudaGetDevice(&previous_), info);
    if (device_ != previous_) check(cudaSetDevice(device_), info);
  }
  ~DeviceGuard() {
    if (device_ != previous_) cudaSetDevice(previous_);
  }
  DeviceGuard(const DeviceGuard&) = delete;
  DeviceGuard& operator=(const DeviceGuard&) = delete;

 private:
  int device_, previous_ = 0;
};

void run(const Launch& launch, int device, void* stream_address, const cuda::Allocate& allocate) {
  const auto stream = static_cast<cudaStream_t>(stream_address);
  const KernelInfo& info = table().infos[launch.kernel];
  const TileKernels& kernels = table().kernels[launch.kernel];
  const TileKernel& kernel = launch.compute == DType::f64 ? kernels.f64 : kernels.f32;
  Plan plan(launch, kernel.width);
  if (plan.tiles.tiling.tiles() > INT_MAX || plan.combine_blocks() > INT_MAX) {
    fail(info, "more elements than one launch can visit");
  }
  const DeviceGuard guard(device, info);
  if (plan.combine.n > 0) {
    plan.use_workspace(static_cast<double*>(allocate(plan.workspace_bytes())));
  }
  check(kernel.enqueue(plan.tiles, stream), info);
  if (plan.combine.n == 0) return;
  check(launch_kernel(combine_kernel, static_cast<unsigned>(plan.combine_blocks()), kCombineThreads,
                      stream, plan.combine),
        info);
}

void scale(const cuda::Scaling& scaling, int device, void* stream_address) {
  int64_t blocks = 0;
  for (int k = 0; k < scaling.n; ++k) blocks += scale_blocks(scaling.tensors[k].numel);
  if (blocks == 0) return;
  if (blocks > INT_MAX) fail(kScaleInfo, "more elements than one launch can visit");
  const DeviceGuard guard(device, kScaleInfo);
  check(launch_kernel(scale_kernel, static_cast<unsigned>(blocks), kScaleThreads,
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
  const DeviceGuard guard(device, kMixtureInfo);
  const bool in_double = launch.compute == DType::f64;
  if (launch.wants_gradients()) {
    return check(enqueue_mixture(arguments, in_double, blocks, stream), kMixtureInfo);
  }
  arguments.partial = static_cast<double*>(allocate(blocks * sizeof(double)));
  check(enqueue_mixture(arguments, in_double, blocks, stream), kMixtureInfo);
  combine_mixture(launch, arguments, stream);
}

}  // namespace

VK_END

const vk::cuda::Backend& vk::cuda::backend() {
  static const Backend instance = {VK_CUDA_ARCHITECTURES, kRuntimeVersion, Table::kSize,
                                   table().infos, run, scale, run_mixture};
  return instance;
}
