// The kernels over rows of logits: a warp, or a block where a row is long, passes over it several
// times. What it reads again lies in a cache.
#pragma once

#include "../core/philox.h"
#include "../math/categorical_kl.h"
#include "../math/sample_categorical.h"
#include "group.h"
#include "softmax_kernel_table.h"

VK_BEGIN

struct Largest {
  template <class T>
  VK_FN static T join(T a, T b) { return b > a ? b : a; }
};
struct Least {
  template <class T>
  VK_FN static T join(T a, T b) { return b < a ? b : a; }
};
struct Total {
  template <class T>
  VK_FN static T join(T a, T b) { return a + b; }
};

template <class T>
class SoftmaxRow {
 public:
  __device__ explicit SoftmaxRow(const SoftmaxArguments& arguments)
      : launch_(arguments.launch), numbers_(arguments.numbers) {
    const int thread = static_cast<int>(threadIdx.x);
    lanes_ = launch_.classes > kClassesOfWarp ? kSoftmaxThreads : kLanesOfWarp;
    lane_ = thread % lanes_;
    row_ = blockIdx.x * static_cast<int64_t>(kSoftmaxThreads / lanes_) + thread / lanes_;
  }

  VK_PASS bool exists() const { return row_ < launch_.rows; }
  VK_PASS bool counts() const {
    return launch_.mask.data == nullptr || static_cast<const uint8_t*>(launch_.mask.data)[row_];
  }
  VK_PASS T upstream() const { return load_of_sum(launch_.upstream); }
  VK_PASS T other_upstream() const { return load_of_sum(launch_.other_upstream); }
  VK_PASS Mixing<T> mixing() const { return mixing_of<T>(launch_.unimix, launch_.classes); }

  VK_PASS T logit(int64_t j) const { return load_of_row(launch_.logits, j); }
  VK_PASS T other(int64_t j) const { return load_of_row(launch_.other, j); }
  VK_PASS T temperature() const { return load_of_sum(launch_.temperature); }

  VK_PASS T noise(int64_t j) const {
    if (launch_.seed == nullptr) return load_of_row(launch_.noise, j);
    const auto* key = static_cast<const int64_t*>(launch_.seed);
    const auto index = static_cast<uint64_t>(row_ * launch_.classes + j);
    const Values<uint32_t, 4> words =
        philox(index / 4, NoiseKey{static_cast<uint64_t>(key[0]), static_cast<uint64_t>(key[1])});
    const uint32_t low = index & 1 ? words.v[1] : words.v[0];
    const uint32_t high = index & 1 ? words.v[3] : words.v[2];
    return gumbel(T(0), index & 2 ? high : low);
  }

  // There is no memory: to load and compute again takes less than a thread's share of it would.
  template <int place, int n, class Function>
  VK_PASS Function keep(const Function& f) const {
    return f;
  }

  template <class Function>
  VK_PASS T greatest(const Function& f) const {
    T top = -T(HUGE_VAL);
#pragma unroll 1
    for (int64_t j = lane_; j < launch_.classes; j += lanes_) top = Largest::join(top, f(j));
    return reduce<Largest>(top);
  }

  // The first class of which the function is `value`.
  template <class Function>
  VK_PASS int64_t first(const Function& f, T value) const {
    int64_t found = launch_.classes;
#pragma unroll 1
    for (int64_t j = lane_; j < launch_.classes && found == launch_.classes; j += lanes_) {
      if (f(j) == value) found = j;
    }
    return reduce<Least>(found);
  }

  // A thread adds up at most 64 terms before double takes over.
  template <int n, class Function>
  VK_PASS Values<T, n> sums(const Function& f) const {
    double totals[n] = {};
#pragma unroll 1
    for (int64_t first = lane_; first < launch_.classes; first += 64 * lanes_) {
      T parts[n] = {};
#pragma unroll 1
      for (int64_t j = first; j < launch_.classes && j < first + 64 * lanes_; j += lanes_) {
        const Values<T, n> terms = f(j);
#pragma unroll
        for (int k = 0; k < n; ++k) parts[k] += terms.v[k];
      }
#pragma unroll
      for (int k = 0; k < n; ++k) totals[k] += static_cast<double>(parts[k]);
    }
    Values<T, n> found;
#pragma unroll
    for (int k = 0; k < n; ++k) found.v[k] = static_cast<T>(reduce<Total>(totals[k]));
    return found;
  }

  template <int n, class Function>
  VK_PASS void write(const Function& f) const {
#pragma unroll 1
    for (int64_t j = lane_; j < launch_.classes; j += lanes_) {
      const Values<T, n> results = f(j);
#pragma unroll
      for (int k = 0; k < n; ++k) put(launch_.rows_out[k], j, results.v[k]);
    }
  }

  VK_PASS void write_number(T number) const {
    if (lane_ == 0) numbers_[row_] = static_cast<double>(number);
  }

 private:
  static constexpr int kLanesOfWarp = 32;

  template <class Reduction, class Number>
  VK_PASS Number reduce(Number x) const {
#pragma unroll
    for (int distance = kLanesOfWarp / 2; distance > 0; distance /= 2) {
      x = Reduction::join(x, __shfl_xor_sync(0xFFFFFFFFu, x, distance));
    }
    if (lanes_ > kLanesOfWarp) x = reduce_warps<Reduction>(x);
    return x;
  }

  template <class Reduction, class Number>
  __device__ static Number reduce_warps(Number x) {
    __shared__ Number parts[kSoftmaxThreads / kLanesOfWarp];
    __syncthreads();  // the last one's have been read
    if (threadIdx.x % kLanesOfWarp == 0) parts[threadIdx.x / kLanesOfWarp] = x;
    __syncthreads();
    Number all = parts[0];
#pragma unroll
    for (int k = 1; k < kSoftmaxThreads / kLanesOfWarp; ++k) all = Reduction::join(all, parts[k]);
    return all;
  }

  VK_PASS static T load(const SoftmaxLaunch::Numbers& numbers, int64_t offset) {
    return with_float_dtype(numbers.dtype, [&numbers, offset](auto tag) {
      using Storage = typename decltype(tag)::type;
      return load_as<T>(static_cast<const Storage*>(numbers.data)[offset]);
    });
  }
  VK_PASS T load_of_sum(const SoftmaxLaunch::Numbers& numbers) const {
    return load(numbers, row_ / launch_.rows_per_sum);
  }
  VK_PASS T load_of_row(const SoftmaxLaunch::Numbers& numbers, int64_t j) const {
    return load(numbers, row_ % numbers.rows * launch_.classes + j);
  }
  VK_PASS void put(const SoftmaxLaunch::Result& out, int64_t j, T number) const {
    if (out.data == nullptr) return;
    store_element(out.data, out.dtype, row_ * launch_.classes + j, number);
  }

  const SoftmaxLaunch& launch_;
  double* numbers_;
  int lanes_, lane_;
  int64_t row_;
};

template <class T>
__global__ void __launch_bounds__(kSoftmaxThreads, 1)
    categorical_kl_kernel(const __grid_constant__ SoftmaxArguments arguments) {
  const SoftmaxRow<T> row(arguments);
  if (!row.exists()) return;
  row.write_number(row.counts() ? CategoricalKL::value(row, row.mixing()) : T(0));
}

template <class T>
__global__ void __launch_bounds__(kSoftmaxThreads, 1)
    categorical_kl_vjp_kernel(const __grid_constant__ SoftmaxArguments arguments) {
  const SoftmaxRow<T> row(arguments);
  if (!row.exists()) return;
  if (row.counts()) {
    CategoricalKL::vjp(row, row.upstream(), row.other_upstream(), row.mixing());
  } else {
    row.template write<2>([](int64_t) { return Values<T, 2>{{T(0), T(0)}}; });
  }
}

template <class T>
__global__ void __launch_bounds__(kSoftmaxThreads, 1)
    sample_categorical_kernel(const __grid_constant__ SoftmaxArguments arguments) {
  const SoftmaxRow<T> row(arguments);
  if (row.exists()) SampleCategorical::value(row, row.mixing());
}

template <class T>
__global__ void __launch_bounds__(kSoftmaxThreads, 1)
    sample_categorical_vjp_kernel(const __grid_constant__ SoftmaxArguments arguments) {
  const SoftmaxRow<T> row(arguments);
  if (row.exists()) SampleCategorical::vjp(row, row.mixing());
}

template <class T>
__global__ void __launch_bounds__(kSoftmaxThreads, 1)
    gumbel_softmax_kernel(const __grid_constant__ SoftmaxArguments arguments) {
  const SoftmaxRow<T> row(arguments);
  const bool hard = arguments.launch.kernel == SoftmaxKernel::relaxed_hard;
  if (row.exists()) GumbelSoftmax::value(row, row.temperature(), hard);
}

template <class T>
__global__ void __launch_bounds__(kSoftmaxThreads, 1)
    gumbel_softmax_vjp_kernel(const __grid_constant__ SoftmaxArguments arguments) {
  const SoftmaxRow<T> row(arguments);
  if (!row.exists()) return;
  const T number = GumbelSoftmax::vjp(row, row.temperature());
  if (arguments.numbers != nullptr) row.write_number(number);
}

VK_END
