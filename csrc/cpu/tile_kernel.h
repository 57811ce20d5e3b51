// The loop around one operation: all of the CPU backend that is compiled per operation.
#pragma once

#include <utility>

#include "../pointwise.h"

VK_BEGIN

constexpr int kLanes = 16;  // of float in the widest vector

template <class T>
using TileKernel = void (*)(float factor, const T* const* inputs, T* const* outputs, int64_t n);

// Element j of input number k; of the one that is prepared, what `prepared` holds if it is uniform.
template <class Function, int k, bool is_uniform, class Scale, class T, class Prepared>
VK_FN auto element(Scale scale, const T* input, const Prepared& prepared, int64_t j) {
  if constexpr (k != Function::uniform_input) return input[j];
  else if constexpr (is_uniform) return prepared;
  else return Function::prepare(scale, input[j]);
}

// Function::apply(scale, scalars...) -> Values, over n elements, a multiple of kLanes: the loop is
// compiled once, for whole vectors. Only the results Out... are written: what the others need is
// never computed. With `is_uniform`, the input `uniform_input` is one value for the whole tile.
template <class Function, bool is_uniform, class T, size_t... In, size_t... Out>
void apply_to_tile(float factor, const T* const* inputs, T* const* outputs, int64_t n,
                   std::index_sequence<In...>, std::index_sequence<Out...>) {
  constexpr int uniform = Function::uniform_input;
  const T* const in[] = {inputs[In]...};
  T* const out[] = {outputs[Out]...};
  const typename Function::template Scale<T> scale(factor);
  const auto prepared = Function::prepare(scale, inputs[uniform < 0 ? 0 : uniform][0]);
  n = n / kLanes * kLanes;  // so that the compiler knows
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) {
    const auto results = Function::apply(
        scale, element<Function, static_cast<int>(In), is_uniform>(scale, in[In], prepared, j)...);
    ((out[Out][j] = results.v[Out]), ...);
  }
}

// The variants of one pointwise function.
template <class T>
struct TileKernels {
  // [how many leading results are wanted, less one][is the input `uniform_input` uniform]
  TileKernel<T> variants[kMaxOperands][2];
  int uniform_input;  // -1: none is worth a variant
};

// What is compiled for one kernel of the list.
struct Kernel {
  TileKernels<float> f32;
  TileKernels<double> f64;
};

// The list is compiled in several parts, side by side; each fills in its own.
template <int part>
void add_kernels(Kernel* by_number);

VK_END
