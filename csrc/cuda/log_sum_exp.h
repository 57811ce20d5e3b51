// log sum exp of the rows of a tile: the largest number of each row first, then the sum of what all
// are beside it. Sums are in double, so that small terms beside the largest keep their digits.
#pragma once

#include "sums.h"

VK_BEGIN

// A number beside the largest: e^(value - top), also where both are infinite.
VK_FN double beside_top(float top, float value) {
  return value == top ? 1.0 : static_cast<double>(exp_of_minus(top - value));
}
VK_FN double beside_top(double top, double value) {
  return value == top ? 1.0 : exp_of_minus(top - value);
}

template <class T, int W>
__device__ inline void log_sum_exp_rows(const Target& target, const Tiling& t, const Tile& tile,
                                        const Group& group, const T (&values)[W]) {
  __shared__ double shared_numbers[Terms<double, W>::kSize];
  __shared__ double parts[kMostThreads / kWarp];
  __shared__ T tops[kThreads * W];  // of so many rows at most
  const Terms<double, W> terms{shared_numbers};
  double numbers[W];
#pragma unroll
  for (int j = 0; j < W; ++j) numbers[j] = static_cast<double>(values[j]);
  if (t.sum_by_group) terms.template put_joined<Greatest>(group, numbers);
  else terms.put(group, numbers);
  __syncthreads();
  const uint32_t per_row = terms_of_row<W>(tile, t.sum_by_group);
  reduce_rows<Greatest>(t, tile, terms, parts, per_row,
                        [&](int row, double top) { tops[row] = static_cast<T>(top); });
  __syncthreads();
  int row = (group.item + group.begin) / tile.n_cols;
  int col = (group.item + group.begin) % tile.n_cols;
#pragma unroll
  for (int j = 0; j < W; ++j) {
    if (j < group.begin || j >= group.end) continue;
    numbers[j] = beside_top(tops[row], values[j]);
    if (++col == tile.n_cols) col = 0, ++row;
  }
  if (t.sum_by_group) terms.template put_joined<Sum>(group, numbers);
  else terms.put(group, numbers);
  __syncthreads();
  reduce_rows<Sum>(t, tile, terms, parts, per_row, [&](int row, double sum) {
    put_row_sum(target, t, tile, row, static_cast<double>(tops[row]) + log_of_sum(sum));
  });
}

VK_END
