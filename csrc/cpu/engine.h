// The one loop of the CPU backend: tile by tile, load the inputs, run the pointwise kernel, hand
// the results on. Only the kernel (tile_kernel.h) is compiled per operation.
#pragma once

#include "parallel.h"
#include "sinks.h"
#include "tile_kernel.h"

VK_BEGIN

// Runs a kernel on n elements. It takes whole lanes alone; what is left over is copied to such.
template <class T>
void run_kernel(TileKernel<T> kernel, float factor, const T* const* inputs, int n_inputs,
                T* const* outputs, int n_outputs, int64_t n) {
  const int64_t whole = n / kLanes * kLanes, left = n - whole;
  if (whole > 0) kernel(factor, inputs, outputs, whole);
  if (left == 0) return;
  T in_rest[kMaxOperands][kLanes], out_rest[kMaxOperands][kLanes] = {};
  const T* in[kMaxOperands];
  T* out[kMaxOperands];
  for (int k = 0; k < n_inputs; ++k) {
    for (int64_t j = 0; j < kLanes; ++j) in_rest[k][j] = inputs[k][whole + (j < left ? j : 0)];
    in[k] = in_rest[k];
  }
  for (int k = 0; k < n_outputs; ++k) out[k] = out_rest[k];
  kernel(factor, in, out, kLanes);
  for (int k = 0; k < n_outputs; ++k) {
    for (int64_t j = 0; j < left; ++j) outputs[k][whole + j] = out_rest[k][j];
  }
}

// Zeroes what the mask (0 or 1) leaves out, NaN and infinities too.
template <class T>
void apply_mask(T* results, const T* mask, int64_t n) {
#pragma omp simd
  for (int64_t j = 0; j < n; ++j) results[j] = mask[j] != T(0) ? results[j] : T(0);
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
  const TileKernel<T>* kernel = kernels.variants[wanted - 1];
  const int n_sources = launch.n_inputs + (launch.masked ? 1 : 0);
  const int64_t group_tiles = column_sums ? kTilesPerColumnSum : 1;
  const int64_t groups = (tiling.tiles_down + group_tiles - 1) / group_tiles;
  Sink sinks[kMaxOperands];
  for (int k = 0; k < launch.n_outputs; ++k) sinks[k].open(launch.outputs[k], tiling, groups);

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
      for (int k = 0; k < n_sources; ++k) {
        in[k] = sources[k].load(in_scratch[k], first, tile.size());
      }
      for (int k = 0; k < launch.n_outputs; ++k) out[k] = sinks[k].target(out_scratch[k], tile);
      const int uniform = kernels.uniform_input;
      run_kernel(kernel[uniform >= 0 && sources[uniform].is_uniform()], launch.factor, in,
                 launch.n_inputs, out, launch.n_outputs, tile.size());
      for (int k = 0; launch.masked && k < wanted; ++k) {
        apply_mask(out[k], in[launch.n_inputs], tile.size());
      }
      for (int k = 0; k < launch.n_outputs; ++k) sinks[k].take(out[k], tile, group);
    }
  };

  const auto run_tasks = [&](int64_t begin, int64_t end) {
    alignas(64) T in_scratch[kMaxOperands][kScratch];
    alignas(64) T out_scratch[kMaxOperands][kScratch];
    Source<T> sources[kMaxOperands];
    for (int k = 0; k < n_sources; ++k) sources[k].open(launch.inputs[k]);
    for (int64_t task = begin; task < end; ++task) {
      run_group(task / tiling.segments, task % tiling.segments, sources, in_scratch, out_scratch);
    }
  };
  parallel_ranges(groups * tiling.segments, launch.threads, run_tasks);
  for (int k = 0; k < launch.n_outputs; ++k) sinks[k].close(groups);
}

VK_END
