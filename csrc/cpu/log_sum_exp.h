// log sum exp over the numbers of a row, where they lie in the cache: the largest first, then the
// sum of what the others are beside it. Numbers that equal the largest are counted instead of
// added, so that small terms beside it keep their digits, and infinities need no case of their own.
#pragma once

#include <memory>

#include "lanes.h"

VK_BEGIN

// A number's part of the sum: `tie` counts, `tail` adds up.
template <class T>
struct BesideTop {
  T tie, tail;
  VK_FN BesideTop(T top, T value)
      : tie(value == top ? T(1) : T(0)), tail(value == top ? T(0) : exp_of_minus(top - value)) {}
};

// log sum exp of several rows' numbers, in two parts: the logarithms are taken side by side.
struct LogSumExpParts {
  double tops[kLanes], beyond[kLanes];  // top + log(1 + beyond)

  void add_up(double* log_sum_exps, int64_t step, int64_t n) const {
    double logs[kLanes];
#pragma omp simd
    for (int k = 0; k < kLanes; ++k) logs[k] = tops[k] + log1p_of_sum(beyond[k]);
    for (int64_t k = 0; k < n; ++k) log_sum_exps[k * step] = logs[k];
  }
};

template <class T>
void take_row(const T* values, int64_t n, double& highest, double& beyond) {
  const int64_t whole = n / kLanes * kLanes;
  T rest[kLanes], tops[kLanes];
  fill(rest, T(-HUGE_VAL), kLanes);
  for (int64_t j = whole; j < n; ++j) rest[j - whole] = values[j];
#pragma omp simd
  for (int k = 0; k < kLanes; ++k) tops[k] = rest[k];
  for (int64_t j = 0; j < whole; j += kLanes) {
#pragma omp simd
    for (int k = 0; k < kLanes; ++k) tops[k] = at_least(tops[k], values[j + k]);
  }
  const T top = largest<kLanes / 2>(tops);  // a NaN may be lost here, but not below

  T ties[kLanes] = {}, tails[kLanes] = {};
  const auto add = [&](const T* block) {
#pragma omp simd
    for (int k = 0; k < kLanes; ++k) {
      const BesideTop<T> part(top, block[k]);
      ties[k] += part.tie;
      tails[k] += part.tail;
    }
  };
  for (int64_t j = 0; j < whole; j += kLanes) add(values + j);
  if (whole < n) {
    fill(rest + (n - whole), top, kLanes - (n - whole));  // so many ties too many
    add(rest);
  }
  double wide_ties[kLanes], wide_tails[kLanes];
#pragma omp simd
  for (int k = 0; k < kLanes; ++k) {
    wide_ties[k] = static_cast<double>(ties[k]);
    wide_tails[k] = static_cast<double>(tails[k]);
  }
  const double padding = whole < n ? static_cast<double>(whole + kLanes - n) : 0.0;
  const double tied = fold<kLanes / 2>(wide_ties) - padding;
  highest = static_cast<double>(top);
  beyond = tied - 1.0 + fold<kLanes / 2>(wide_tails);
}

// Of rows of n numbers each, one after the other.
template <class T>
void log_sum_exp_of_rows(const T* values, int64_t rows, int64_t n, double* out, int64_t step) {
  for (int64_t first = 0; first < rows; first += kLanes) {
    LogSumExpParts parts = {};
    const int64_t count = rows - first < kLanes ? rows - first : kLanes;
    for (int64_t r = 0; r < count; ++r) {
      take_row(values + (first + r) * n, n, parts.tops[r], parts.beyond[r]);
    }
    parts.add_up(out + first * step, step, count);
  }
}

// log sum exp of numbers that come in a fixed order, several of them for each result.
class LogSumExps {
 public:
  explicit LogSumExps(int64_t n) : n_(n), tops_(new double[n]), sums_(new double[n]()) {
    fill(tops_.get(), -HUGE_VAL, n);
  }

  // First all numbers pass through `see`, then all again through `add`.
  void see(int64_t result, double value) {
    if (value > tops_[result]) tops_[result] = value;
  }
  void add(int64_t result, double value) {
    const double top = tops_[result];
    sums_[result] += value == top ? 1.0 : std::exp(value - top);
  }
  const double* results() {
    for (int64_t k = 0; k < n_; ++k) sums_[k] = tops_[k] + std::log(sums_[k]);
    return sums_.get();
  }

 private:
  int64_t n_;
  std::unique_ptr<double[]> tops_, sums_;
};

VK_END
