// Where a tile's results go: to memory, or into sums over rows or columns.
//
// Every sum has a fixed order: lanes of float within a tile, then double over lanes and tiles,
// in index order. Results depend neither on the number of threads nor on where a datapoint lies.
#pragma once

#include <memory>

#include "log_sum_exp.h"

VK_BEGIN

template <class T>
double sum_in_lanes(const T* values, int64_t n) {
  T lanes[kLanes] = {};
  int64_t j = 0;
  if (n >= kUnrolled) {
    T unrolled[kUnrolled] = {};
    for (; j + kUnrolled <= n; j += kUnrolled) {
#pragma omp simd
      for (int k = 0; k < kUnrolled; ++k) unrolled[k] += values[j + k];
    }
#pragma omp simd
    for (int k = 0; k < kLanes; ++k) {
      lanes[k] = (unrolled[k] + unrolled[k + kLanes]) +
                 (unrolled[k + 2 * kLanes] + unrolled[k + 3 * kLanes]);
    }
  }
  for (; j + kLanes <= n; j += kLanes) {
#pragma omp simd
    for (int k = 0; k < kLanes; ++k) lanes[k] += values[j + k];
  }
  for (int k = 0; j + k < n; ++k) lanes[k] += values[j + k];
  double wide[kLanes];
#pragma omp simd
  for (int k = 0; k < kLanes; ++k) wide[k] = static_cast<double>(lanes[k]);
  return fold<kLanes / 2>(wide);
}

template <class T>
void store(void* to, DType dtype, int64_t offset, const T* values, int64_t n) {
  with_float_dtype(dtype, [&](auto tag) {
    using Storage = typename decltype(tag)::type;
    Storage* out = static_cast<Storage*>(to) + offset;
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) store_as(out + j, values[j]);
  });
}

// How the elements of a launch are cut into tiles. Depends on its shape and dtypes alone.
struct Tiling {
  explicit Tiling(const Launch& launch) : rows(launch.rows), cols(launch.cols) {
    const int64_t limit = converts(launch) ? kTile / 2 : kTile;
    segments = (cols + limit - 1) / limit;
    tile_cols = segments > 1 ? ((cols + segments - 1) / segments + 15) / 16 * 16 : cols;
    tile_rows = segments > 1 ? 1 : limit / cols;
    tiles_down = (rows + tile_rows - 1) / tile_rows;
  }
  int64_t rows, cols;
  int64_t segments;              // tiles that share a row
  int64_t tile_rows, tile_cols;  // several whole rows, or a part of one
  int64_t tiles_down;

 private:
  // Whether elements are of another dtype than the arithmetic's: the L1 cache then holds them twice.
  static bool converts(const Launch& launch) {
    for (int k = 0; k < launch.n_inputs; ++k) {
      const Input& input = launch.inputs[k];
      if (input.kind == Input::Kind::tensor && input.layout.ndim > 0 &&
          input.dtype != launch.compute) {
        return true;
      }
    }
    return false;
  }
};

struct Tile {
  int64_t row, n_rows, segment, col, n_cols;
  int64_t size() const { return n_rows * n_cols; }
};

// Tiles that share partial column sums: one task of one thread.
constexpr int64_t kTilesPerColumnSum = 32;

// One output of a launch, shared by all threads: each writes its own tiles' part.
class Sink {
 public:
  void open(const Output& output, const Tiling& tiling, int64_t groups) {
    output_ = &output;
    tiling_ = &tiling;
    if (output.by_row()) {
      partial_.reset(new double[tiling.rows * tiling.segments]);
    } else if (output.kind == Output::Kind::column_sum) {
      partial_.reset(new double[groups * tiling.cols]());
    }
  }

  // Where the kernel writes a tile: straight to memory, or to the scratch that `take` reads.
  template <class T>
  T* target(T* scratch, const Tile& tile) const {
    const bool direct =
        output_->kind == Output::Kind::elements && output_->dtype == compute_dtype<T>();
    return direct ? static_cast<T*>(output_->data) + first(tile) : scratch;
  }

  template <class T>
  void take(const T* values, const Tile& tile, int64_t group) {
    switch (output_->kind) {
      case Output::Kind::elements:
        if (output_->dtype != compute_dtype<T>()) {
          store(output_->data, output_->dtype, first(tile), values, tile.size());
        }
        break;
      case Output::Kind::row_sum:
        for (int64_t r = 0; r < tile.n_rows; ++r) {
          partial_[(tile.row + r) * tiling_->segments + tile.segment] =
              sum_in_lanes(values + r * tile.n_cols, tile.n_cols);
        }
        break;
      case Output::Kind::row_log_sum_exp:
        log_sum_exp_of_rows(values, tile.n_rows, tile.n_cols,
                            partial_.get() + tile.row * tiling_->segments + tile.segment,
                            tiling_->segments);
        break;
      case Output::Kind::column_sum:
        for (int64_t r = 0; r < tile.n_rows; ++r) {
          add(partial_.get() + group * tiling_->cols + tile.col, values + r * tile.n_cols,
              tile.n_cols);
        }
        break;
      case Output::Kind::discard: break;
    }
  }

  // After all tiles: combines the partial sums in index order.
  void close(int64_t groups) {
    if (!partial_) return;
    if (output_->kind == Output::Kind::row_log_sum_exp) return close_log_sum_exps();
    const bool by_row = output_->kind == Output::Kind::row_sum;
    const int64_t n = by_row ? output_->numel : tiling_->cols;
    std::unique_ptr<double[]> sums(new double[n]());
    if (by_row) {
      const bool one_each = output_->rows.is_dense();
      for (int64_t r = 0; r < tiling_->rows; ++r) {
        double& sum = sums[one_each ? r : output_->rows.offset_of(r)];
        for (int64_t s = 0; s < tiling_->segments; ++s) sum += partial_[r * tiling_->segments + s];
      }
    } else {
      for (int64_t g = 0; g < groups; ++g) add(sums.get(), partial_.get() + g * n, n);
    }
    store(output_->data, output_->dtype, 0, sums.get(), n);
  }

 private:
  void close_log_sum_exps() {
    if (tiling_->segments == 1 && output_->rows.is_dense()) {
      return store(output_->data, output_->dtype, 0, partial_.get(), output_->numel);
    }
    LogSumExps numbers(output_->numel);
    for_each_partial([&](int64_t number, double value) { numbers.see(number, value); });
    for_each_partial([&](int64_t number, double value) { numbers.add(number, value); });
    store(output_->data, output_->dtype, 0, numbers.results(), output_->numel);
  }

  // Those of rows, in order, with the number that each is part of.
  template <class Visit>
  void for_each_partial(Visit visit) const {
    for (int64_t r = 0; r < tiling_->rows; ++r) {
      const int64_t number = output_->rows.offset_of(r);
      for (int64_t s = 0; s < tiling_->segments; ++s) {
        visit(number, partial_[r * tiling_->segments + s]);
      }
    }
  }

  int64_t first(const Tile& tile) const { return tile.row * tiling_->cols + tile.col; }

  template <class T>
  static void add(double* sums, const T* values, int64_t n) {
#pragma omp simd
    for (int64_t j = 0; j < n; ++j) sums[j] += static_cast<double>(values[j]);
  }

  const Output* output_;
  const Tiling* tiling_;
  std::unique_ptr<double[]> partial_;
};

VK_END
