// From a launch to the arguments of the kernels that carry it out. Host code, no CUDA.
#pragma once

#include <stdexcept>

#include "dense_launch.h"

VK_BEGIN

constexpr int kCombineThreads = 512;

inline bool has_column_sums(const Launch& launch) {
  for (int k = 0; k < launch.n_outputs; ++k) {
    if (launch.outputs[k].kind == Output::Kind::column_sum) return true;
  }
  return false;
}

// Without sums, or if all go over everything, rows do not matter.
inline bool is_one_row(const Launch& launch) {
  for (int k = 0; k < launch.n_outputs; ++k) {
    const Output& output = launch.outputs[k];
    if (output.by_row() && output.numel > 1) return false;
  }
  return !has_column_sums(launch);
}

inline Tiling tiling_of(const Launch& launch, int width) {
  if (is_one_row(launch)) return make_tiling(1, launch.rows * launch.cols, width, false);
  return make_tiling(launch.rows, launch.cols, width, has_column_sums(launch));
}

// Which partial sums make up which number: `numbers` leads from a number to its first term, `terms`
// from a term's position to its distance from the first.
inline Combination make_combination(const Output& output, const Layout& numbers,
                                    const Layout& terms, int64_t n_numbers, int64_t n_terms) {
  Combination c;
  c.partial = nullptr;
  c.data = output.data;
  c.dtype = output.dtype;
  c.log_sum_exp = output.kind == Output::Kind::row_log_sum_exp;
  c.numbers = n_numbers, c.terms = n_terms;
  c.number_ndim = describe(numbers, c.dims, &c.number_stride);
  c.term_ndim = describe(terms, c.dims + c.number_ndim, &c.term_stride);
  c.lanes = 1;  // as many as have a few terms each
  while (c.lanes < kCombineThreads && 8 * c.lanes < c.terms) c.lanes *= 2;
  c.blocks = divide_up(c.numbers, kCombineThreads / c.lanes);
  return c;
}

// Partial sums lie row by row, those of a row's segments together.
inline Combination combine_rows(const Output& output, const Tiling& tiling) {
  Layout numbers, terms;
  int64_t step[kMaxDims], number_stride = 1;
  int64_t rows = 1;
  for (int d = output.rows.ndim - 1; d >= 0; --d) {
    step[d] = rows * tiling.segments.n();
    rows *= output.rows.size[d];
    if (output.rows.stride[d] == 0) continue;
    if (output.rows.stride[d] != number_stride) {
      throw std::invalid_argument("launch: a row sum's numbers are not in the order of its rows");
    }
    number_stride *= output.rows.size[d];
  }
  for (int d = 0; tiling.rows > 1 && d < output.rows.ndim; ++d) {
    (output.rows.stride[d] == 0 ? terms : numbers).append(output.rows.size[d], step[d]);
  }
  terms.append(tiling.segments.n(), 1);
  return make_combination(output, numbers, terms, output.numel,
                          tiling.rows * tiling.segments.n() / output.numel);
}

// Partial sums lie as the tiles do, a row of them for all tiles side by side.
inline Combination combine_columns(const Output& output, const Tiling& tiling) {
  Layout numbers, terms;
  numbers.append(tiling.cols, 1);
  terms.append(tiling.tiles_down, tiling.cols);
  return make_combination(output, numbers, terms, tiling.cols, tiling.tiles_down);
}

// Rows whose sum one block makes, each a number of its own, need no second kernel.
inline bool is_final(const Output& output, const Tiling& tiling) {
  return tiling.segments.n() == 1 &&
         (tiling.rows == 1 || (output.numel == tiling.rows && output.rows.is_dense()));
}

inline Source to_source(const Input& input) {
  Source source;
  source.data = input.data;
  source.dtype = input.dtype;
  source.kind = input.kind;
  source.constant = input.constant;
  source.ndim = describe(input.layout, source.dims, &source.inner_stride);
  return source;
}

struct Plan {
  TileArguments tiles;
  CombineArguments combine;

  Plan(const Launch& launch, int width) {
    tiles.tiling = tiling_of(launch, width);
    tiles.factor = launch.factor;
    tiles.any_sums = false;
    combine.n = 0;
    tiles.masked = launch.masked;
    const int n_sources = launch.n_inputs + (launch.masked ? 1 : 0);
    for (int k = 0; k < n_sources; ++k) tiles.sources[k] = to_source(launch.inputs[k]);
    for (int k = 0; k + 1 < launch.n_inputs; ++k) {
      if (launch.inputs[k].kind == Input::Kind::noise) {
        throw std::invalid_argument("launch: only the last input can be noise");
      }
    }
    for (int k = 0; k < launch.n_outputs; ++k) add(launch.outputs[k], k);
  }

  size_t workspace_bytes() const {
    int64_t n = 0;
    for (int k = 0; k < combine.n; ++k) n += partial_sums(combine.combinations[k]);
    return static_cast<size_t>(n) * sizeof(double);
  }

  // The partial sums of the outputs lie one behind the other.
  void use_workspace(double* workspace) {
    for (int k = 0; k < combine.n; ++k) {
      combine.combinations[k].partial = tiles.targets[output_of_[k]].partial = workspace;
      workspace += partial_sums(combine.combinations[k]);
    }
  }

  int64_t combine_blocks() const {
    int64_t n = 0;
    for (int k = 0; k < combine.n; ++k) n += combine.combinations[k].blocks;
    return n;
  }

 private:
  int output_of_[kMaxOperands];

  static int64_t partial_sums(const Combination& c) { return c.numbers * c.terms; }

  void add(const Output& output, int k) {
    tiles.targets[k] = {output.data, nullptr, output.dtype, output.kind};
    const bool by_row = output.by_row();
    if (!by_row && output.kind != Output::Kind::column_sum) return;
    tiles.any_sums = true;
    if (by_row && is_final(output, tiles.tiling)) return;
    output_of_[combine.n] = k;
    combine.combinations[combine.n++] =
        by_row ? combine_rows(output, tiles.tiling) : combine_columns(output, tiles.tiling);
  }
};

VK_END
