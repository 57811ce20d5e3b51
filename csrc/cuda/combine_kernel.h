// The second launch: adds partial sums, in index order, where several make up one number.
#pragma once

#include "group.h"
#include "plan.h"

VK_BEGIN

// Some threads of a block share one number: neighbours in numbers are neighbours in the block,
// so that sums over rows read memory in pieces.
__device__ inline void combine(const Combination& c, int64_t block, double* sums) {
  const int thread = static_cast<int>(threadIdx.x), numbers_here = kCombineThreads / c.lanes;
  const int lane = thread / numbers_here;
  const int64_t number = block * numbers_here + thread % numbers_here;
  double sum = 0.0;
  if (number < c.numbers) {
    const double* first = c.partial + c.first_term(number);
#pragma unroll 4
    for (int64_t term = lane; term < c.terms; term += c.lanes) {
      sum += first[c.distance(term)];
    }
  }
  sums[thread] = sum;
  for (int distance = c.lanes / 2; distance > 0; distance /= 2) {
    __syncthreads();
    if (lane < distance) sums[thread] += sums[thread + distance * numbers_here];
  }
  if (lane == 0 && number < c.numbers) store_element(c.data, c.dtype, number, sums[thread]);
}

static __global__ void __launch_bounds__(kCombineThreads, 1)
    combine_kernel(const __grid_constant__ CombineArguments arguments) {
  __shared__ double sums[kCombineThreads];
  int64_t block = blockIdx.x;
  int k = 0;
  for (; block >= arguments.combinations[k].blocks; ++k) block -= arguments.combinations[k].blocks;
  combine(arguments.combinations[k], block, sums);
}

VK_END
