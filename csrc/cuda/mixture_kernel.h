// The kernels of mixtures: a thread takes one pixel and visits its components one after the other,
// for gradients once more.
#pragma once

#include <utility>

#include "../math/logistic_mixture.h"
#include "group.h"
#include "mixture_kernel_table.h"

VK_BEGIN

template <class T>
VK_FN T load_float(const MixtureLaunch::Planes& planes, int64_t offset) {
  return with_float_dtype(planes.dtype, [=](auto tag) {
    using Storage = typename decltype(tag)::type;
    return load_as<T>(static_cast<const Storage*>(planes.data)[offset]);
  });
}

template <class Component>
class MixturePixel {
  using T = typename Component::Number;

 public:
  VK_FN MixturePixel(const MixtureArguments& arguments, int64_t row, int64_t pixel)
      : arguments_(arguments), row_(row), pixel_(pixel) {
#pragma unroll
    for (int c = 0; c < Component::n_observed; ++c) {
      const int64_t offset = (row * Component::n_observed + c) * arguments.pixels + pixel;
      x_[c] = load_element<T>(arguments.x.data, arguments.x.dtype, offset);
    }
    sums_.largest = -T(HUGE_VAL);
#pragma unroll 1
    for (int64_t k = 0; k < arguments.components; ++k) {
      sums_.largest = at_least(sums_.largest, load(0, k));
    }
#pragma unroll 1
    for (int64_t k = 0; k < arguments.components; ++k) {
      load_component(k);
      sums_.add(logit_, Component(parameters_, x_).log_p());
    }
  }

  VK_FN T value() const { return sums_.value(); }

  VK_FN void write_gradients(T upstream) {
#pragma unroll 1
    for (int64_t k = 0; k < arguments_.components; ++k) {
      load_component(k);
      const Component component(parameters_, x_);
      const T share = sums_.share((logit_ - sums_.largest) + component.log_p());
      const auto d = component.gradients(x_);
      write(0, k, upstream * (share - sums_.weight(logit_)));
#pragma unroll
      for (int p = 0; p < Component::n_parameters; ++p) write(1 + p, k, upstream * share * d.v[p]);
    }
  }

 private:
  VK_FN int64_t offset(int plane, int64_t component) const {
    const int64_t first = row_ * (1 + Component::n_parameters) + plane;
    return (first * arguments_.components + component) * arguments_.pixels + pixel_;
  }
  VK_FN T load(int plane, int64_t component) const {
    return load_float<T>(arguments_.params, offset(plane, component));
  }
  VK_FN void write(int plane, int64_t component, T number) const {
    store_element(arguments_.out, arguments_.out_dtype, offset(plane, component), number);
  }
  VK_FN void load_component(int64_t k) {
    logit_ = load(0, k);
#pragma unroll
    for (int p = 0; p < Component::n_parameters; ++p) parameters_[p] = load(1 + p, k);
  }

  const MixtureArguments& arguments_;
  int64_t row_, pixel_;
  MixtureSums<T> sums_;
  T logit_, parameters_[Component::n_parameters], x_[Component::n_observed];
};

// A block's pixels; its number among those of the row.
struct MixtureBlock {
  int64_t row, number, pixel;

  __device__ explicit MixtureBlock(const MixtureArguments& arguments) {
    row = blockIdx.x / arguments.blocks_per_row;
    number = blockIdx.x - row * arguments.blocks_per_row;
    pixel = number * kMixtureThreads + threadIdx.x;
  }
};

// Partial sums, of the pixels of each block.
template <class Component>
__global__ void __launch_bounds__(kMixtureThreads, 1)
    mixture_value_kernel(const __grid_constant__ MixtureArguments arguments) {
  __shared__ double terms[kMixtureThreads];
  const MixtureBlock block(arguments);
  const bool inside = block.pixel < arguments.pixels;
  terms[threadIdx.x] =
      inside ? MixturePixel<Component>(arguments, block.row, block.pixel).value() : 0;
  for (unsigned distance = kMixtureThreads / 2; distance > 0; distance /= 2) {
    __syncthreads();
    if (threadIdx.x < distance) terms[threadIdx.x] += terms[threadIdx.x + distance];
  }
  if (threadIdx.x == 0) arguments.partial[blockIdx.x] = terms[0];
}

template <class Component>
__global__ void __launch_bounds__(kMixtureThreads, 1)
    mixture_vjp_kernel(const __grid_constant__ MixtureArguments arguments) {
  const MixtureBlock block(arguments);
  if (block.pixel >= arguments.pixels) return;
  MixturePixel<Component> pixel(arguments, block.row, block.pixel);
  pixel.write_gradients(load_float<typename Component::Number>(arguments.upstream, block.row));
}

VK_END
