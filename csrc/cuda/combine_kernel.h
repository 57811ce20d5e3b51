// The second launch: adds partial sums, in index order, where several make up one number. (Or takes
// log sum exp of partial ones.)
#pragma once

#include "plan.h"
#include "sums.h"

VK_BEGIN

// A thread's place among those that share its number: neighbours in numbers are neighbours in the
// block, so that sums over rows read memory in pieces.
struct Share {
  int numbers_here, lane;
  int64_t number;

  __device__ Share(const Combination& c, int64_t block) {
    const int thread = static_cast<int>(threadIdx.x);
    numbers_here = kCombineThreads / c.lanes;
    lane = thread / numbers_here;
    number = block * numbers_here + thread % numbers_here;
  }
};

// What the terms of a number become, in the thread that is its first lane.
template <class Reduction, class Term>
__device__ inline double reduce_terms(const Combination& c, const Share& share, double* sums,
                                      const Term& term_of) {
  const int thread = static_cast<int>(threadIdx.x), numbers_here = share.numbers_here;
  double sum = Reduction::template kNothing<double>;
  if (share.number < c.numbers) {
    const double* first = c.partial + c.first_term(share.number);
#pragma unroll 4
    for (int64_t term = share.lane; term < c.terms; term += c.lanes) {
      sum = Reduction::join(sum, term_of(first[c.distance(term)]));
    }
  }
  sums[thread] = sum;
  for (int distance = c.lanes / 2; distance > 0; distance /= 2) {
    __syncthreads();
    if (share.lane < distance) {
      sums[thread] = Reduction::join(sums[thread], sums[thread + distance * numbers_here]);
    }
  }
  return sums[thread];
}

__device__ inline double log_sum_exp_of_terms(const Combination& c, const Share& share,
                                              double* sums) {
  __shared__ double tops[kCombineThreads];
  reduce_terms<Greatest>(c, share, tops, [](double term) { return term; });
  __syncthreads();
  const double top = tops[threadIdx.x % share.numbers_here];
  const double sum = reduce_terms<Sum>(
      c, share, sums, [top](double term) { return term == top ? 1.0 : exp(term - top); });
  return top + log_of_sum(sum);
}

__device__ inline void combine(const Combination& c, int64_t block, double* sums) {
  const Share share(c, block);
  const double number =
      c.log_sum_exp
          ? log_sum_exp_of_terms(c, share, sums)
          : reduce_terms<Sum>(c, share, sums, [](double term) { return term; });
  if (share.lane == 0 && share.number < c.numbers) {
    store_element(c.data, c.dtype, share.number, number);
  }
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
