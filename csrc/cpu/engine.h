// The one loop of the CPU backend: tile by tile, load the inputs, run the pointwise kernel, hand
// the results on. Only `apply_to_tile` is compiled per operation; everything else is shared.
#pragma once

#include <bit>
#include <utility>

#include "parallel.h"
#include "sinks.h"

VK_BEGIN

// Writes the results of a tile, or what they sum to: outputs[k] is then not touched, and sums[k]
// is.
template <class T>
using TileKernel = void (*)(const T* const* inputs, T* const* outputs, double* sums, int64_t n);

// Element j of an input; of the input `uniform`, what was prepared from its one value.
template <bool is_uniform, class T, class Prepared>
VK_FN auto element(const T* input, const Prepared& prepared, int64_t j) {
  if constexpr (is_uniform) return prepared;
  else return input[j];
}

// Where one result of one element goes.
template <bool summed, class T>
VK_FN void keep(T result, T* to, T& sum) {
  if constexpr (summed) sum += result;
  else *to = result;
}

constexpr bool has(unsigned set, int member) { return (set >> member & 1u) != 0; }

// Function::apply(scalars...) -> Values, over a tile. Only the results Out... are written: what
// the others need is never computed. Input number `uniform` (-1: none) is one value for the whole
// tile. The results in the set `summed`, at most two, are added up in registers.
template <class Function, int uniform, unsigned summed, class T, size_t... In, size_t... Out>
void apply_to_tile(const T* const* inputs, T* const* outputs, double* sums, int64_t n,
                   std::index_sequence<In...>, std::index_sequence<Out...>) {
  const T* const in[] = {inputs[In]...};
  T* const out[] = {outputs[Out]...};
  const typename Function::template Prepared<T> prepared(inputs[uniform < 0 ? 0 : uniform][0]);
  constexpr size_t first = std::countr_zero(summed);  // the other one, if any, is a higher bit
  T lower = T(0), upper = T(0);
#pragma omp simd reduction(+ : lower, upper)
  for (int64_t j = 0; j < n; ++j) {
    const auto results =
        Function::apply(element<static_cast<int>(In) == uniform>(in[In], prepared, j)...);
    (keep<has(summed, Out)>(results.v[Out], out[Out] + j, Out == first ? lower : upper), ...);
  }
  ((has(summed, Out) ? void(sums[Out] = static_cast<double>(Out == first ? lower : upper)) : void()),
   ...);
}

// The variants of one pointwise function.
template <class T>
struct TileKernels {
  // [how many leading results are wanted, less one][is the input `uniform_input` uniform]
  // [are the results that such a call usually sums added up by the kernel]
  TileKernel<T> variants[kMaxOperands][2][2];
  int uniform_input;   // -1: none is worth a variant
  unsigned summed[2];  // [is it uniform]: the set of those results
};

// Whether a call wants, of these results, nothing but sums over rows.
inline bool all_sum_rows(const Launch& launch, unsigned results) {
  for (int k = 0; k < launch.n_outputs; ++k) {
    const auto kind = launch.outputs[k].kind;
    const bool fits = kind == Output::Kind::row_sum || kind == Output::Kind::discard;
    if (has(results, k) && !fits) return false;
  }
  return results != 0;
}

inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

template <class T>
void run_tiles(const Launch& launch, const TileKernels<T>& kernels) {
  const Tiling tiling(launch);
  bool column_sums = false;
  for (int k = 0; k < launch.n_outputs; ++k) {
    column_sums |= launch.outputs[k].kind == Output::Kind::column_sum;
  }
  int wanted = launch.n_outputs;
  while (wanted > 1 && launch.outputs[wanted - 1].kind == Output::Kind::discard) --wanted;
  const auto* variants = kernels.variants[wanted - 1];
  const int64_t group_tiles = column_sums ? kTilesPerColumnSum : 1;
  const int64_t groups = (tiling.tiles_down + group_tiles - 1) / group_tiles;
  Sink sinks[kMaxOperands];
  for (int k = 0; k < launch.n_outputs; ++k) sinks[k].open(launch.outputs[k], tiling, groups);
  const bool sums_fit[2] = {tiling.tile_rows == 1 && all_sum_rows(launch, kernels.summed[0]),
                            tiling.tile_rows == 1 && all_sum_rows(launch, kernels.summed[1])};

  const auto run_group = [&](int64_t group, int64_t segment, Source<T>* sources,
                             T (*in_scratch)[kScratch], T (*out_scratch)[kScratch]) {
    const T* in[kMaxOperands];
    T* out[kMaxOperands];
    const int64_t end = least((group + 1) * group_tiles, tiling.tiles_down);
    for (int64_t down = group * group_tiles; down < end; ++down) {
      Tile tile;
      tile.row = down * tiling.tile_rows;
      tile.n_rows = least(tiling.tile_rows, tiling.rows - tile.row);
      tile.segment = segment;
      tile.col = segment * tiling.tile_cols;
      tile.n_cols = least(tiling.tile_cols, tiling.cols - tile.col);
      const int64_t first = tile.row * tiling.cols + tile.col;
      for (int k = 0; k < launch.n_inputs; ++k) {
        in[k] = sources[k].load(in_scratch[k], first, tile.size());
      }
      for (int k = 0; k < launch.n_outputs; ++k) out[k] = sinks[k].target(out_scratch[k], tile);
      const bool uniform =
          kernels.uniform_input >= 0 && sources[kernels.uniform_input].is_uniform();
      const bool summing = sums_fit[uniform];
      double sums[kMaxOperands];
      variants[uniform][summing](in, out, sums, tile.size());
      for (int k = 0; k < launch.n_outputs; ++k) {
        if (summing && has(kernels.summed[uniform], k)) sinks[k].take_sum(sums[k], tile);
        else sinks[k].take(out[k], tile, group);
      }
    }
  };

  const auto run_tasks = [&](int64_t begin, int64_t end) {
    alignas(64) T in_scratch[kMaxOperands][kScratch];
    alignas(64) T out_scratch[kMaxOperands][kScratch];
    Source<T> sources[kMaxOperands];
    for (int k = 0; k < launch.n_inputs; ++k) sources[k].open(launch.inputs[k]);
    for (int64_t task = begin; task < end; ++task) {
      run_group(task / tiling.segments, task % tiling.segments, sources, in_scratch, out_scratch);
    }
  };
  parallel_ranges(groups * tiling.segments, launch.threads, run_tasks);
  for (int k = 0; k < launch.n_outputs; ++k) sinks[k].close(groups);
}

VK_END
