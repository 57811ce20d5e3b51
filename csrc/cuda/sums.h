// Sums within a tile, over its rows or its columns. The terms go through shared memory, so that
// their order depends on their place in the row or column, not on the threads that made them.
#pragma once

#include "store.h"

VK_BEGIN

// A block's tile.
struct Tile {
  int64_t down, row, col;
  int segment, n_rows, n_cols;
};

// Index: of elements.
template <class Index>
__device__ Tile this_tile(const Tiling& t) {
  Tile tile;
  const uint32_t down = t.segments.divide(blockIdx.x);
  tile.down = down;
  tile.segment = static_cast<int>(blockIdx.x - down * t.segments.n());
  const Index row = static_cast<Index>(down) * t.tile_rows;
  const Index col = static_cast<Index>(tile.segment) * t.tile_cols;
  tile.row = row;
  tile.col = col;
  const Index rows = static_cast<Index>(t.rows) - row, cols = static_cast<Index>(t.cols) - col;
  tile.n_rows = rows < t.tile_rows ? static_cast<int>(rows) : t.tile_rows;
  tile.n_cols = cols < t.tile_cols ? static_cast<int>(cols) : t.tile_cols;
  return tile;
}

// The calling thread's group; empty for threads beyond the tile.
template <int W>
__device__ inline Group this_group(const Tiling& t, const Tile& tile) {
  const uint32_t range = t.groups_per_range.divide(threadIdx.x);
  const uint32_t number = threadIdx.x - range * t.groups_per_range.n();
  const bool whole_rows = t.segments.n() == 1;
  Group group;
  if (range >= (whole_rows ? 1u : static_cast<uint32_t>(tile.n_rows))) return group;
  const int64_t start = (tile.row + range) * t.cols + tile.col;
  const int skipped = static_cast<int>(start % W);  // the first group may begin before the range
  const int length = whole_rows ? tile.n_rows * tile.n_cols : tile.n_cols;
  const int before = static_cast<int>(number) * W - skipped;
  group.first = start + before;
  group.begin = before < 0 ? -before : 0;
  group.end = length - before < W ? length - before : W;
  group.item = static_cast<int>(range) * tile.n_cols + before;
  if (group.end <= group.begin) group.begin = group.end = 0;
  return group;
}

// The elements of a tile in a dense form.
struct Elements {
  uint32_t start, count;

  __device__ Elements(const Tiling& t, const DenseTiling& dense) {
    uint32_t end = dense.elements;
    start = blockIdx.x * dense.of_tile;
    if (dense.overhang != 0) {
      const uint32_t down = t.segments.divide(blockIdx.x);
      start -= down * dense.overhang;
      end = (down + 1) * dense.of_row;
    }
    count = end - start < dense.of_tile ? end - start : dense.of_tile;
  }
};

// What the numbers of a row become.
struct Sum {
  template <class T>
  static constexpr T kNothing = T(0);
  template <class T>
  VK_FN static T join(T a, T b) { return a + b; }
};
struct Greatest {
  template <class T>
  static constexpr T kNothing = T(-HUGE_VAL);
  template <class T>
  VK_FN static T join(T a, T b) { return b > a ? b : a; }
};

// W neighbours: the halves are added, then the halves of that.
template <class Reduction, int W, class T>
VK_FN T joined(const T* values) {
  if constexpr (W == 1) {
    return values[0];
  } else {
    T sums[W / 2];
#pragma unroll
    for (int j = 0; j < W / 2; ++j) sums[j] = Reduction::join(values[j], values[j + W / 2]);
    return joined<Reduction, W / 2>(sums);
  }
}

// The terms of a tile's sums, in row-major order: elements, or groups of them already added.
// Where each thread writes W neighbours, a gap after each W spreads them over the memory banks.
template <class T, int W>
struct Terms {
  static constexpr int kUnaligned = W == 1 ? 0 : kThreads * (W + 1);
  static constexpr int kAligned = kMostThreads + (W == 1 ? 0 : kMostThreads / W);
  static constexpr int kSize = kAligned > kUnaligned ? kAligned : kUnaligned;

  T* shared;

  VK_FN static uint32_t at(uint32_t term) { return W == 1 ? term : term + term / W; }
  VK_FN T get(uint32_t term) const { return shared[at(term)]; }

  VK_FN void put(const Group& group, const T (&values)[W]) const {
#pragma unroll
    for (int j = 0; j < W; ++j) {
      if (j >= group.begin && j < group.end) shared[at(group.item + j)] = values[j];
    }
  }

  template <class Reduction>
  VK_FN void put_joined(const Group& group, const T (&values)[W]) const {
    const T sum = joined<Reduction, W>(values);
    if (group.size() > 0) shared[at(static_cast<uint32_t>(group.item) / W)] = sum;
  }
};

// The same in a dense form, where all are added already. Without gaps: a thread writes one or two.
template <class T, int W>
struct JoinedTerms {
  static constexpr int kSize = kMostThreads;

  T* shared;

  VK_FN T get(uint32_t term) const { return shared[term]; }

  // Of a group, which may be several terms long, that begins with this element of the tile.
  template <class Reduction, int V>
  VK_FN void put_joined(uint32_t item, const T (&values)[V]) const {
#pragma unroll
    for (int k = 0; k < V / W; ++k) shared[item / W + k] = joined<Reduction, W>(values + k * W);
  }
};

// Where a sum goes.
__device__ inline void put_sum(const Target& target, int64_t index, double sum) {
  if (target.partial != nullptr) {
    target.partial[index] = sum;
  } else {
    store_element(target.data, target.dtype, index, sum);
  }
}

// That of a row of the tile.
__device__ inline void put_row_sum(const Target& target, const Tiling& t, const Tile& tile, int row,
                                   double sum) {
  put_sum(target, (tile.row + row) * t.segments.n() + tile.segment, sum);
}

// Whether the calling thread's warp takes part in the sums of a tile's rows.
__device__ inline bool has_rows_to_sum(const Tiling& t) {
  const uint32_t warp = threadIdx.x / kWarp * kWarp;  // all of its lanes, for the shuffles
  return t.parts_per_row > 1 || warp < static_cast<uint32_t>(t.tile_rows << t.log_lanes);
}

// Terms of each row of a tile.
template <int W>
VK_FN uint32_t terms_of_row(const Tile& tile, bool by_group) {
  const uint32_t cols = static_cast<uint32_t>(tile.n_cols);
  return by_group ? cols / W : cols;
}

// What lanes of a warp, which are neighbours, make of the terms from `first` on, that of each lane.
template <class Reduction, class T, class Terms>
__device__ inline T reduce_terms(Terms terms, uint32_t first, uint32_t end, uint32_t step,
                                 uint32_t lanes) {
  T sum = Reduction::template kNothing<T>;
#pragma unroll 4
  for (uint32_t k = first; k < end; k += step) sum = Reduction::join(sum, terms.get(k));
  for (uint32_t distance = lanes / 2; distance > 0; distance /= 2) {
    sum = Reduction::join(sum, __shfl_xor_sync(0xFFFFFFFFu, sum, static_cast<int>(distance)));
  }
  return sum;
}

template <class Reduction, class T>
__device__ inline double reduce_parts(const T* parts, int n) {
  double sum = Reduction::template kNothing<double>;
  for (int part = 0; part < n; ++part) sum = Reduction::join(sum, static_cast<double>(parts[part]));
  return sum;
}

// Lanes of a warp add a row's terms, or one part of them; the parts are added in double, in order.
// `put(row, sum)` takes the sums. (Or what else joins the terms than a sum.) per_row: terms.
template <class Reduction, class Terms, class T, class Put>
__device__ inline void reduce_rows(const Tiling& t, const Tile& tile, Terms terms, T* part_sums,
                                   uint32_t per_row, const Put& put) {
  const uint32_t thread = threadIdx.x, lanes = 1u << t.log_lanes;
  const uint32_t lane = thread & (lanes - 1), warp = thread / kWarp * kWarp;
  const uint32_t at_a_time = blockDim.x >> t.log_lanes;
  const bool one_row = t.parts_per_row > 1;
  const uint32_t units = static_cast<uint32_t>(one_row ? t.parts_per_row : tile.n_rows);
  for (uint32_t first = 0; first + (warp >> t.log_lanes) < units; first += at_a_time) {
    const uint32_t unit = first + (thread >> t.log_lanes);
    const uint32_t row = one_row ? 0 : unit, part = one_row ? unit : 0;
    const uint32_t step = static_cast<uint32_t>(t.parts_per_row) << t.log_lanes;
    const uint32_t begin = row * per_row, end = unit < units ? begin + per_row : 0;
    const T sum = reduce_terms<Reduction, T>(terms, begin + (part << t.log_lanes) + lane, end, step, lanes);
    if (lane != 0 || unit >= units) continue;
    if (one_row) part_sums[part] = sum;
    else put(static_cast<int>(row), static_cast<double>(sum));
  }
  if (!one_row) return;
  __syncthreads();
  if (thread == 0) put(0, reduce_parts<Reduction>(part_sums, t.parts_per_row));
}

template <class Terms, class T>
__device__ inline void sum_rows(const Target& target, const Tiling& t, const Tile& tile,
                                Terms terms, T* part_sums, uint32_t per_row) {
  reduce_rows<Sum>(t, tile, terms, part_sums, per_row,
                   [&](int row, double sum) { put_row_sum(target, t, tile, row, sum); });
}

// The same where whole rows make a tile in a dense form, each of them a part.
template <class T, int W>
__device__ inline void sum_whole_rows(const Target& target, const Tiling& t, JoinedTerms<T, W> terms) {
  const uint32_t per_row = static_cast<uint32_t>(t.cols) / W, lanes = 1u << t.log_lanes;
  const uint32_t tile_rows = static_cast<uint32_t>(t.tile_rows), first_row = blockIdx.x * tile_rows;
  const uint32_t rows = static_cast<uint32_t>(least_of(tile_rows, t.rows - first_row));
  const uint32_t lane = threadIdx.x & (lanes - 1), behind = threadIdx.x % kWarp >> t.log_lanes;
  for (uint32_t row = threadIdx.x >> t.log_lanes; row - behind < rows; row += blockDim.x >> t.log_lanes) {
    const uint32_t begin = row * per_row, end = row < rows ? begin + per_row : 0;
    const T sum = reduce_terms<Sum, T>(terms, begin + lane, end, lanes, lanes);
    if (lane == 0 && row < rows) put_sum(target, first_row + row, static_cast<double>(sum));
  }
}

// The same where a tile is a row, or a segment of one. Each part by one thread, which adds the terms
// of the lanes as these would.
template <class T, int W>
__device__ inline void sum_long_row(const Target& target, const Tiling& t, JoinedTerms<T, W> terms,
                                    uint32_t per_row, T* part_sums) {
  const uint32_t parts = static_cast<uint32_t>(t.parts_per_row), thread = threadIdx.x;
  if (thread < parts) {
    T lanes[kWarp] = {};
    for (uint32_t first = thread * kWarp; first < per_row; first += parts * kWarp) {
#pragma unroll
      for (uint32_t lane = 0; lane < kWarp; ++lane) {
        if (first + lane < per_row) lanes[lane] += terms.get(first + lane);
      }
    }
    part_sums[thread] = joined<Sum, kWarp>(lanes);
  }
  __syncthreads();
  if (thread == 0) put_sum(target, blockIdx.x, reduce_parts<Sum>(part_sums, t.parts_per_row));
}

// Threads add every n-th term of a column; their sums are added in double, in order.
template <class T, int W>
__device__ inline void sum_columns(const Target& target, const Tiling& t, const Tile& tile,
                                   Terms<T, W> terms, T* part_sums) {
  const int thread = static_cast<int>(threadIdx.x);
  const int parts = static_cast<int>(blockDim.x) / tile.n_cols;
  const int part = thread / tile.n_cols, col = thread % tile.n_cols;
  if (part < parts) {
    T sum = T(0);
    for (int row = part; row < tile.n_rows; row += parts) {
      sum += terms.get(row * tile.n_cols + col);
    }
    part_sums[thread] = sum;
  }
  __syncthreads();
  if (thread < tile.n_cols) {
    double sum = 0.0;
    for (int k = 0; k < parts; ++k) sum += static_cast<double>(part_sums[k * tile.n_cols + col]);
    target.partial[tile.down * t.cols + tile.col + col] = sum;
  }
}

VK_END
