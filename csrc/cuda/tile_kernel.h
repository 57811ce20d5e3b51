// The kernel, written once for all operations, dtypes, layouts and kinds of results: each block
// takes one tile, each thread one group of its elements.
#pragma once

#include <utility>

#include "../pointwise.h"
#include "log_sum_exp.h"
#include "mask.h"

VK_BEGIN

// Elements of a group. 8 make 16-byte accesses of half precision too, but those of many inputs or
// outputs would take too many registers. double is for checking: single elements.
template <class Function, class T>
constexpr int kGroupWidth = sizeof(T) == sizeof(double)                             ? 1
                            : Function::n_inputs <= 3 && Function::n_outputs <= 2 ? 8
                                                                                    : 4;

// Of the largest blocks, that registers must suffice for. Where much is prepared, much is computed.
template <class Function, class T>
constexpr int kBlocksPerProcessor =
    sizeof(T) == sizeof(double) || Function::n_inputs > 5 ||
            Function::n_inputs + Function::n_outputs > 9 ||
            sizeof(typename Function::template Prepared<T>) > 8 * sizeof(T)
        ? 1
        : 2;

// Input number k of a function; of the one that is prepared, `prepared` if it is uniform.
template <class Function, int k, bool is_uniform, class Scale, class T, class Prepared>
VK_FN auto argument(Scale scale, T value, const Prepared& prepared) {
  if constexpr (k != Function::uniform_input) return value;
  else if constexpr (is_uniform) return prepared;
  else return Function::prepare(scale, value);
}

template <class Function, bool is_uniform, class Scale, class T, int W, class Prepared,
          size_t... In, size_t... Out>
VK_FN void apply_to_group(Scale scale, const T (&inputs)[sizeof...(In)][W],
                          const Prepared& prepared, T (&results)[sizeof...(Out)][W],
                          std::index_sequence<In...>, std::index_sequence<Out...>) {
#pragma unroll
  for (int j = 0; j < W; ++j) {
    const auto values =
        Function::apply(scale, argument<Function, static_cast<int>(In), is_uniform>(
                                   scale, inputs[In][j], prepared)...);
    ((results[Out][j] = values.v[Out]), ...);
  }
}

// With what depends on the input `uniform_input` alone made once, if the group has one value of it.
template <class Function, class T, int W>
VK_FN void apply_function(float factor, const T (&inputs)[Function::n_inputs][W], bool is_uniform,
                          T (&results)[Function::n_outputs][W]) {
  constexpr int uniform = Function::uniform_input;
  const typename Function::template Scale<T> scale(factor);
  constexpr std::make_index_sequence<Function::n_inputs> in;
  constexpr std::make_index_sequence<Function::n_outputs> out;
  if constexpr (uniform >= 0 && W > 1) {
    if (is_uniform) {
      const auto prepared = Function::prepare(scale, inputs[uniform][0]);
      return apply_to_group<Function, true>(scale, inputs, prepared, results, in, out);
    }
  }
  apply_to_group<Function, false>(scale, inputs, 0, results, in, out);
}

template <class Function, class T, int W>
VK_FN void compute(const TileArguments& arguments, const Group& group,
                   T (&results)[Function::n_outputs][W]) {
  constexpr int n = Function::n_inputs, uniform = Function::uniform_input;
  Reader<T, W> readers[n];
  T inputs[n][W];
#pragma unroll
  for (int k = 0; k < n; ++k) readers[k].find(arguments.sources[k], group);
#pragma unroll
  for (int k = 0; k < n; ++k) readers[k].start(arguments.sources[k]);
#pragma unroll
  for (int k = 0; k < n - 1; ++k) readers[k].finish(inputs[k], arguments.sources[k], group);
  const Source& last = arguments.sources[n - 1];
  if (last.kind == Input::Kind::noise) make_noise(inputs[n - 1], last, group);
  else readers[n - 1].finish(inputs[n - 1], last, group);
  apply_function<Function>(arguments.factor, inputs,
                           readers[uniform < 0 ? 0 : uniform].is_uniform(), results);
}

template <class Function, class T>
__global__ void __launch_bounds__(kMostThreads, kBlocksPerProcessor<Function, T>)
    tile_kernel(const __grid_constant__ TileArguments arguments) {
  constexpr int W = kGroupWidth<Function, T>, n = Function::n_outputs;
  __shared__ T shared_terms[Terms<T, W>::kSize];
  __shared__ T part_sums[kMostThreads];
  const Tiling& tiling = arguments.tiling;
  const Tile tile = this_tile(tiling);
  const Group group = this_group<W>(tiling, tile);
  T results[n][W];
  if (group.size() > 0) {
    compute<Function, T, W>(arguments, group, results);
    // Not earlier: held during the computation, the mask would cost launches without one registers.
    if (arguments.masked) apply_mask(arguments.sources[Function::n_inputs], group, results);
#pragma unroll
    for (int k = 0; k < n; ++k) {
      const Target& target = arguments.targets[k];
      if (target.kind == Output::Kind::elements) store(target, group, results[k]);
    }
  }
  if (!arguments.any_sums) return;
  const Terms<T, W> terms{shared_terms};
#pragma unroll 1
  for (int which = 0; which < n; ++which) {
    const Target& target = arguments.targets[which];
    const bool by_row = target.kind == Output::Kind::row_sum;
    if (!by_row && target.kind != Output::Kind::column_sum) continue;
    __syncthreads();  // the terms of the last sum have been read
#pragma unroll
    for (int k = 0; k < n; ++k) {
      if (k != which) continue;
      if (tiling.sum_by_group) terms.template put_joined<Sum>(group, results[k]);
      else terms.put(group, results[k]);
    }
    __syncthreads();
    if (by_row) {
      reduce_rows<Sum>(tiling, tile, terms, part_sums, [&](int row, double sum) {
        put_row_sum(target, tiling, tile, row, sum);
      });
    } else {
      sum_columns<T, W>(target, tiling, tile, terms, part_sums);
    }
  }
  if constexpr (Function::log_sum_exp >= 0) {
    const Target& target = arguments.targets[Function::log_sum_exp];
    if (target.kind == Output::Kind::row_log_sum_exp) {
      log_sum_exp_rows<T, W>(target, tiling, tile, group, results[Function::log_sum_exp]);
    }
  }
}

VK_END
