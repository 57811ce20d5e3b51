// The kernel, written once for all operations, dtypes, layouts and kinds of results: each block
// takes one tile, each thread one group of its elements. What the form says of the launch is
// decided when it is compiled.
#pragma once

#include <utility>

#include "dense.h"
#include "log_sum_exp.h"
#include "mask.h"

VK_BEGIN

// Elements that make a term of a sum. 8 make 16-byte accesses of half precision too, but those of
// many inputs or outputs would take too many registers. double is for checking: single elements.
template <class Function, class T>
constexpr int kTermWidth = sizeof(T) == sizeof(double)                             ? 1
                           : Function::n_inputs <= 3 && Function::n_outputs <= 2 ? 8
                                                                                   : 4;

// Elements of a group. In a dense form that may be two terms, so that sums have the same order.
template <class Function, class T, class Form>
constexpr int kGroupWidth = Form::is_dense ? kDenseWidth : kTermWidth<Function, T>;

// Of the largest blocks.
template <class Function, class T, class Form>
constexpr int kThreadsOfBlock =
    kMostThreads * kTermWidth<Function, T> / kGroupWidth<Function, T, Form>;

// Of those, that registers must suffice for. Where much is prepared, much is computed. Dense forms
// of short terms have blocks of half the threads; a third of those still leaves 80 registers.
template <class Function, class T, class Form>
constexpr int kBlocksPerProcessor =
    sizeof(T) == sizeof(double) || Function::n_inputs > 5 ||
            Function::n_inputs + Function::n_outputs > 9 ||
            (!Form::is_dense && sizeof(typename Function::template Prepared<T>) > 8 * sizeof(T))
        ? 1
        : (Form::is_dense && kTermWidth<Function, T> < kDenseWidth ? 3 : 2);

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
// Uniform: whether it has, bool or a constant.
template <class Function, class T, int W, class Uniform>
VK_FN void apply_function(float factor, const T (&inputs)[Function::n_inputs][W],
                          Uniform is_uniform, T (&results)[Function::n_outputs][W]) {
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
  T inputs[Function::n_inputs][W];
  const bool is_uniform = load_any(arguments, group, inputs, Function::uniform_input);
  apply_function<Function>(arguments.factor, inputs, is_uniform, results);
}

template <class Function, class Form, class T, int W>
VK_FN void compute_dense(const TileArguments& arguments, const RoundKeys& keys,
                         const Group& group, T (&results)[Function::n_outputs][W]) {
  constexpr int uniform = Function::uniform_input;
  constexpr bool is_uniform = uniform >= 0 && Form::input(uniform < 0 ? 0 : uniform) == 'r';
  T inputs[Function::n_inputs][W];
  load_dense<Form>(arguments, keys, group, inputs);
  apply_function<Function>(arguments.factor, inputs, is_uniform, results);
}

template <class Function, class Form, class T, int W>
VK_FN void store_elements(const TileArguments& arguments, const Group& group,
                          const T (&results)[Function::n_outputs][W]) {
#pragma unroll
  for (int k = 0; k < Function::n_outputs; ++k) {
    const Target& target = arguments.targets[k];
    if constexpr (Form::is_dense) {
      if (Form::output(k) == 'e') store_dense<Form>(target, group, results[k]);
    } else if (target.kind == Output::Kind::elements) {
      store(target, group, results[k]);
    }
  }
}

// Sums over rows and columns, one output after the other. (A loop at run time, unless the form has
// one sum: each is a lot of code.)
template <class Function, class Form, class T, int W, int V>
__device__ inline void sum_elements(const TileArguments& arguments, const Tile& tile,
                                    const Group& group, Terms<T, W> terms, T* part_sums,
                                    const T (&results)[Function::n_outputs][V]) {
  constexpr int n = Function::n_outputs;
  const Tiling& tiling = arguments.tiling;
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
    const uint32_t per_row = terms_of_row<W>(tile, tiling.sum_by_group);
    if (by_row) sum_rows(target, tiling, tile, terms, part_sums, per_row);
    else sum_columns<T, W>(target, tiling, tile, terms, part_sums);
  }
}

// What is summed of a group in a dense form; each sum's terms lie for themselves.
template <class Function, class Form, class T, int W, int V>
VK_FN void put_dense(uint32_t item, T (*shared_terms)[JoinedTerms<T, W>::kSize],
                     const T (&results)[Function::n_outputs][V]) {
  int n = 0;
#pragma unroll
  for (int k = 0; k < Function::n_outputs; ++k) {
    if (Form::output(k) != 's') continue;
    JoinedTerms<T, W>{shared_terms[n++]}.template put_joined<Sum>(item, results[k]);
  }
}

// Sums over rows in a dense form. Warps that have no rows to sum are done.
template <class Function, class Form, class T, int W>
__device__ inline void sum_dense(const TileArguments& arguments, const Elements& elements,
                                 T (*shared_terms)[JoinedTerms<T, W>::kSize], T* part_sums) {
  const Tiling& tiling = arguments.tiling;
  if (Form::n_sums == 0) return;
  __syncthreads();
  if (!has_rows_to_sum(tiling)) return;
  int n = 0;
#pragma unroll
  for (int k = 0; k < Function::n_outputs; ++k) {
    if (Form::output(k) != 's') continue;
    const Target& target = arguments.targets[k];
    const JoinedTerms<T, W> terms{shared_terms[n++]};
    if (tiling.parts_per_row == 1) {
      sum_whole_rows(target, tiling, terms);
    } else {
      if (n > 1) __syncthreads();  // the parts of the last sum have been read
      sum_long_row(target, tiling, terms, elements.count / W, part_sums);
    }
  }
}

template <class Function, class T, class Form>
__global__ void __launch_bounds__(kThreadsOfBlock<Function, T, Form>,
                                  kBlocksPerProcessor<Function, T, Form>)
    tile_kernel(const __grid_constant__ TileArguments arguments) {
  constexpr int W = kTermWidth<Function, T>, V = kGroupWidth<Function, T, Form>;
  __shared__ T part_sums[kMostThreads];
  const Tiling& tiling = arguments.tiling;
  T results[Function::n_outputs][V];
  if constexpr (Form::is_dense) {
    __shared__ T shared_terms[Form::n_sums > 0 ? Form::n_sums : 1][JoinedTerms<T, W>::kSize];
    const Elements elements(tiling, arguments.dense);
    __shared__ RoundKeys keys;
    if constexpr (Form::noise >= 0) put_keys(keys, arguments.sources[Form::noise]);
#pragma unroll 1  // registers
    for (uint32_t item = threadIdx.x * V; item < elements.count; item += blockDim.x * V) {
      Group group;
      group.first = elements.start + item;
      group.end = V;
      compute_dense<Function, Form>(arguments, keys, group, results);
      store_elements<Function, Form>(arguments, group, results);
      put_dense<Function, Form, T, W>(item, shared_terms, results);
    }
    sum_dense<Function, Form, T, W>(arguments, elements, shared_terms, part_sums);
  } else {
    __shared__ T shared_terms[Terms<T, W>::kSize];
    const Terms<T, W> terms{shared_terms};
    const Tile tile = this_tile<int64_t>(tiling);
    const Group group = this_group<V>(tiling, tile);
    if (group.size() > 0) {
      compute<Function>(arguments, group, results);
      // Not earlier: held during the computation, the mask would cost launches without one registers.
      if (arguments.masked) apply_mask(arguments.sources[Function::n_inputs], group, results);
      store_elements<Function, Form>(arguments, group, results);
    }
    if (!arguments.any_sums) return;
    sum_elements<Function, Form>(arguments, tile, group, terms, part_sums, results);
    if constexpr (Function::log_sum_exp >= 0) {
      const Target& target = arguments.targets[Function::log_sum_exp];
      if (target.kind == Output::Kind::row_log_sum_exp) {
        log_sum_exp_rows<T, W>(target, tiling, tile, group, results[Function::log_sum_exp]);
      }
    }
  }
}

VK_END
