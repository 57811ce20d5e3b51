// How the elements of a launch are cut into tiles, one for each block of threads. It depends on
// the shape and the kind of sums alone, so that sums have the same order on every device; and what
// concerns the terms of one row depends on its length alone, so that they do not depend on the
// batch around it.
#pragma once

#include "../launch.h"
#include "division.h"

VK_BEGIN

constexpr int kWarp = 32;
constexpr int kThreads = 256, kMostThreads = 512;  // of a block
constexpr int kDenseWidth = 8;   // of a group in a dense form: 16 bytes of half precision
// Groups of a thread in a dense form, one after the other, at most: what it does once is shared by
// them. Not in small launches: so many threads keep a large GPU busy.
constexpr int kDenseGroups = 4;
constexpr int64_t kBusyThreads = 1 << 17;

// Threads own groups of `width` consecutive elements that start at multiples of `width` of the
// row-major index, as 16-byte accesses and the noise want it.
struct Tiling {
  int64_t rows, cols;
  int64_t tiles_down;
  Divisor32 segments;          // tiles side by side
  int tile_rows, tile_cols;    // several whole rows, or a segment of one row or of several
  Divisor32 groups_per_range;  // a range is contiguous: a tile of whole rows, or a row of another
  int threads;                 // of a block
  bool sum_by_group;           // groups lie within rows, so that rows are sums of sums of groups
  int log_lanes;               // 2^log_lanes of a warp add the terms of one row
  int parts_per_row;           // each added by such lanes: the block's warps if it has one row

  int64_t tiles() const { return tiles_down * segments.n(); }
};

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }
VK_FN int64_t least_of(int64_t a, int64_t b) { return a < b ? a : b; }

// The groups that n elements touch, wherever they start if not `aligned`.
inline int64_t groups_touched(int64_t n, int width, bool aligned) {
  return divide_up(n + (aligned ? 0 : width - 1), width);
}

struct TileSize {
  int64_t rows, cols;
};

// Whole rows of `row` elements that make a tile: about kThreads dense groups, or somewhat more where
// these fill the last warp better.
inline int64_t choose_rows(int64_t row, int64_t most) {
  const int64_t usual = kThreads * kDenseWidth < most ? kThreads * kDenseWidth : most;
  const auto threads = [row](int64_t rows) {
    return round_up(divide_up(rows * row, kDenseWidth), kWarp);
  };
  int64_t best = usual < row ? 1 : usual / row;
  const int64_t last = least_of(most / row, best + 8);
  for (int64_t rows = best + 1; rows <= last; ++rows) {
    if (threads(rows) * best < threads(best) * rows) best = rows;
  }
  return best;
}

inline TileSize choose_tile(int64_t cols, int width, bool column_sums) {
  const bool aligned = cols % width == 0;
  // Sums over rows want tall tiles, but 128 contiguous bytes at least.
  const int64_t narrow = width == 1 ? 16 : 8 * width;
  if (column_sums && cols > narrow) {
    return {kThreads / groups_touched(narrow, width, aligned), narrow};
  }
  // A row of up to kMostThreads groups is summed at once; unaligned ones need more shared memory, and
  // so do sums over rows, to which all elements are terms.
  const bool dense = aligned && width > 1 && !column_sums;
  const int64_t most = kMostThreads * width;
  const int64_t usual = dense ? least_of(kThreads * kDenseWidth, most) : kThreads * width - (aligned ? 0 : width);
  if (cols > (aligned ? most : usual)) {
    return {1, round_up(divide_up(cols, divide_up(cols, usual)), dense ? kDenseWidth : width)};
  }
  if (dense) return {choose_rows(cols, most), cols};
  const int64_t rows = cols < usual ? usual / cols : 1;
  return {rows > width ? rows - rows % width : rows, cols};  // tiles start where groups do
}

inline Tiling make_tiling(int64_t rows, int64_t cols, int width, bool column_sums) {
  const TileSize tile = choose_tile(cols, width, column_sums);
  const int64_t tile_rows = least_of(tile.rows, rows), segments = divide_up(cols, tile.cols);
  const bool whole_rows = segments == 1, aligned = cols % width == 0;
  const int64_t ranges = whole_rows ? 1 : tile_rows;
  const int64_t groups = groups_touched(whole_rows ? tile_rows * cols : tile.cols, width,
                                        aligned || (whole_rows && tile_rows % width == 0));
  const int64_t columns = column_sums ? tile.cols : 0;  // want a thread each
  const int64_t threads = ranges * groups < columns ? columns : ranges * groups;

  Tiling t;
  t.rows = rows, t.cols = cols;
  t.tiles_down = divide_up(rows, tile_rows);
  t.segments = Divisor32(static_cast<uint32_t>(segments));
  t.tile_rows = static_cast<int>(tile_rows), t.tile_cols = static_cast<int>(tile.cols);
  t.groups_per_range = Divisor32(static_cast<uint32_t>(groups));
  t.threads = static_cast<int>(round_up(threads, kWarp));
  t.sum_by_group = aligned && !column_sums;
  const bool one_row = tile.rows == 1;  // however few rows there are
  const int64_t terms = t.sum_by_group ? tile.cols / width : tile.cols;
  t.log_lanes = 0;
  while ((1 << t.log_lanes) < kWarp && (one_row || (8 << t.log_lanes) < terms)) ++t.log_lanes;
  t.parts_per_row = one_row ? t.threads / kWarp : 1;
  return t;
}

VK_END
