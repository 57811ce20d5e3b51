// Small kernels in the style of the library's, for tests of the emulation itself. Each writes one
// number per thread.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <limits>
#include <map>

#include "emulation.h"

namespace py = pybind11;

namespace {

using Kernel = void (*)(double* out);

constexpr unsigned kFull = 0xFFFFFFFFu;

__device__ int number() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }
__device__ int lane() { return static_cast<int>(threadIdx.x) % 32; }

// --- right ones
// -----------------------------------------------------------------------------------

__global__ void indices(double* out) {
  out[number()] = 1e6 * gridDim.x + 1e4 * blockDim.x + 1e2 * blockIdx.x + threadIdx.x;
}

__global__ void when(double* out) {
  static int count = 0;  // of threads that have run; no kernel may do this
  if (count == static_cast<int>(gridDim.x * blockDim.x)) count = 0;
  out[number()] = count++;
}

__global__ void mirrored(double* out) {
  __shared__ float values[1024];
  values[threadIdx.x] = static_cast<float>(number());
  __syncthreads();
  out[number()] = values[blockDim.x - 1 - threadIdx.x];
}

__global__ void unwritten(double* out) {
  __shared__ double values[1024];
  out[number()] = values[threadIdx.x];
  values[threadIdx.x] = 1.0;
}

// Rounds that share one array: each thread passes its number on to its neighbour.
template <bool first_barrier, bool second_barrier>
__global__ void rotated(double* out) {
  __shared__ int values[1024];
  int value = static_cast<int>(threadIdx.x);
  for (int round = 0; round < 3; ++round) {
    values[threadIdx.x] = value;
    if (first_barrier) __syncthreads();
    value = values[(threadIdx.x + 1) % blockDim.x];
    if (second_barrier) __syncthreads();
  }
  out[number()] = value;
}

template <class T>
__global__ void block_sum(double* out) {
  __shared__ T parts[32];
  T sum = static_cast<T>(threadIdx.x) + T(0.25);
  for (int bit = 16; bit > 0; bit /= 2) sum += __shfl_xor_sync(kFull, sum, bit);
  if (lane() == 0) parts[threadIdx.x / 32] = sum;
  __syncthreads();
  sum = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) sum += parts[warp];
  out[number()] = static_cast<double>(sum);
}

__global__ void down(double* out) { out[number()] = __shfl_down_sync(kFull, threadIdx.x, 5); }

__global__ void from_lane_3(double* out) { out[number()] = __shfl_sync(kFull, threadIdx.x, 3); }

// Each half of a warp exchanges on its own, a different number of times.
__global__ void halves(double* out) {
  unsigned value = threadIdx.x;
  if (lane() < 16) {
    value = __shfl_xor_sync(0x0000FFFFu, value, 1);
  } else {
    value = __shfl_xor_sync(0xFFFF0000u, value, 2);
    value = __shfl_xor_sync(0xFFFF0000u, value, 4);
  }
  __syncwarp();
  out[number()] = value;
}

__global__ void within_warp(double* out) {
  __shared__ int values[1024];
  values[threadIdx.x] = number();
  __syncwarp();
  out[number()] = values[threadIdx.x ^ 31u];
}

// --- wrong ones
// -----------------------------------------------------------------------------------

__global__ void mirrored_without_barrier(double* out) {
  __shared__ float values[1024];
  values[threadIdx.x] = static_cast<float>(number());
  out[number()] = values[blockDim.x - 1 - threadIdx.x];
}

__global__ void early_exit(double*) {
  if (threadIdx.x == 40) return;
  __syncthreads();
}

__global__ void two_barriers(double*) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void barrier_against_exchange(double*) {
  if (lane() == 7) {
    __syncthreads();
  } else {
    __syncwarp();
  }
}

__global__ void absent_lane(double*) {
  if (lane() < 20) __shfl_xor_sync(kFull, 1.0f, 1);
}

__global__ void not_in_own_mask(double*) { __shfl_xor_sync(0x0000FFFFu, 1.0f, 1); }

__global__ void reads_outside_mask(double*) {
  __shfl_xor_sync(lane() < 16 ? 0x0000FFFFu : 0xFFFF0000u, 1.0f, 16);
}

__global__ void two_exchanges(double*) {
  if (lane() < 16) {
    __shfl_xor_sync(kFull, 1.0f, 1);
  } else {
    __shfl_xor_sync(kFull, 1.0f, 1);
  }
}

const std::map<std::string, Kernel> kernels = {
    {"indices", indices},
    {"when", when},
    {"mirrored", mirrored},
    {"unwritten", unwritten},
    {"rotated", rotated<true, true>},
    {"block_sum_float", block_sum<float>},
    {"block_sum_double", block_sum<double>},
    {"down", down},
    {"from_lane_3", from_lane_3},
    {"halves", halves},
    {"within_warp", within_warp},
    {"mirrored_without_barrier", mirrored_without_barrier},
    {"rotated_without_first_barrier", rotated<false, true>},
    {"rotated_without_second_barrier", rotated<true, false>},
    {"early_exit", early_exit},
    {"two_barriers", two_barriers},
    {"barrier_against_exchange", barrier_against_exchange},
    {"absent_lane", absent_lane},
    {"not_in_own_mask", not_in_own_mask},
    {"reads_outside_mask", reads_outside_mask},
    {"two_exchanges", two_exchanges},
};

std::vector<double> run(const std::string& name, unsigned grid, unsigned block) {
  const Kernel kernel = kernels.at(name);
  std::vector<double> out(grid * block, std::numeric_limits<double>::quiet_NaN());
  vk_emulation::launch(nullptr, grid, block, nullptr, [&] { kernel(out.data()); });
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
  return out;
}

}  // namespace

PYBIND11_MODULE(_small_kernels, m) {
  m.def("run", &run);
  m.def("set_order", &vk_emulation::set_order);
}
