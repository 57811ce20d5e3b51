// The CPU's loop over rows of logits: a thread takes one at a time and passes over it in whole
// vectors, while it lies in the cache.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>

#include "../math/categorical_kl.h"
#include "../math/sample_categorical.h"
#include "../softmax.h"
#include "parallel.h"
#include "sinks.h"

VK_BEGIN

// A row at a time, as the calling thread sees it.
template <class T>
class SoftmaxRow {
 public:
  explicit SoftmaxRow(const SoftmaxLaunch& launch)
      : launch_(launch),
        pitch_(whole_lanes(launch.classes)),
        noise_pitch_(pitch_ > kAhead ? pitch_ : kAhead),
        memory_(new T[2 * pitch_ + noise_pitch_ + 2 * kLanes]()),
        kept_(new T[kKept * pitch_]) {}

  void open(int64_t row) {
    row_ = row;
    logits_ = load(launch_.logits, memory_.get());
    other_ = load(launch_.other, memory_.get() + pitch_);
    noise_ = load_noise(memory_.get() + 2 * pitch_);
  }

  bool counts() const {
    return launch_.mask.data == nullptr || static_cast<const uint8_t*>(launch_.mask.data)[row_];
  }

  T upstream() const { return of_sum(launch_.upstream); }
  T other_upstream() const { return of_sum(launch_.other_upstream); }
  T temperature() const { return of_sum(launch_.temperature); }

  VK_FN T logit(int64_t j) const { return logits_[j]; }
  VK_FN T other(int64_t j) const { return other_[j]; }
  VK_FN T noise(int64_t j) const { return noise_[j]; }

  template <int place, int n, class Function>
  VK_PASS auto keep(const Function& f) const {
    static_assert(place + n <= kKept);
    T* const to = kept_.get() + place * pitch_;
    const int64_t pitch = pitch_;
    apply_to_lanes(f, 0, pitch, to, pitch, std::make_index_sequence<n>());
    return [to, pitch](int64_t j) VK_EACH {
      return read_lane(to + j, pitch, std::make_index_sequence<n>());
    };
  }

  template <class Function>
  VK_PASS T greatest(const Function& f) const {
    T tops[kLanes];
    fill(tops, -T(HUGE_VAL), kLanes);
    const int64_t whole = launch_.classes / kLanes * kLanes;
    for (int64_t j = 0; j < whole; j += kLanes) {
#pragma omp simd
      for (int k = 0; k < kLanes; ++k) {
        const T x = f(j + k);
        tops[k] = x > tops[k] ? x : tops[k];
      }
    }
    for (int64_t j = whole; j < launch_.classes; ++j) {
      const T x = f(j);
      tops[0] = x > tops[0] ? x : tops[0];
    }
    return largest<kLanes / 2>(tops);
  }

  // The first class of which the function is `value`.
  template <class Function>
  VK_PASS int64_t first(const Function& f, T value) const {
    T numbers[1][kTile];
    for (int64_t begin = 0; begin < launch_.classes; begin += kTile) {
      const auto as_values = [&f](int64_t j) VK_EACH { return Values<T, 1>{{f(j)}}; };
      const int64_t here = apply<1>(as_values, begin, numbers);
      for (int64_t j = 0; j < here; ++j) {
        if (numbers[0][j] == value) return begin + j;
      }
    }
    return -1;
  }

  template <int n, class Function>
  VK_PASS Values<T, n> sums(const Function& f) const {
    T terms[n][kTile];
    double totals[n] = {};
    for (int64_t first = 0; first < launch_.classes; first += kTile) {
      const int64_t here = apply<n>(f, first, terms);
      for (int k = 0; k < n; ++k) totals[k] += sum_in_lanes(terms[k], here);
    }
    Values<T, n> found;
    for (int k = 0; k < n; ++k) found.v[k] = static_cast<T>(totals[k]);
    return found;
  }

  template <int n, class Function>
  VK_PASS void write(const Function& f) const {
    T results[n][kTile];
    for (int64_t first = 0; first < launch_.classes; first += kTile) {
      const int64_t here = apply<n>(f, first, results);
      for (int k = 0; k < n; ++k) put(launch_.rows_out[k], first, results[k], here);
    }
  }

  void write_zeros() const {
    T zeros[kTile] = {};
    for (int64_t first = 0; first < launch_.classes; first += kTile) {
      const int64_t left = launch_.classes - first;
      for (const auto& out : launch_.rows_out) put(out, first, zeros, left < kTile ? left : kTile);
    }
  }

 private:
  // A tile of the function's numbers; how many there are.
  template <int n, class Function>
  VK_PASS int64_t apply(const Function& f, int64_t first, T (&to)[n][kTile]) const {
    const int64_t left = launch_.classes - first, here = left < kTile ? left : kTile;
    apply_to_lanes(f, first, whole_lanes(here), &to[0][0], kTile, std::make_index_sequence<n>());
    return here;
  }

  // (Not a loop over k: its numbers would lie in memory, and the loop around it stay scalar.)
  template <class Function, size_t... k>
  VK_PASS static void apply_to_lanes(const Function& f, int64_t first, int64_t lanes, T* to,
                                     int64_t pitch, std::index_sequence<k...>) {
#pragma omp simd
    for (int64_t j = 0; j < lanes; ++j) {
      const Values<T, sizeof...(k)> numbers = f(first + j);
      ((to[k * pitch + j] = numbers.v[k]), ...);
    }
  }
  template <size_t... k>
  VK_FN static Values<T, sizeof...(k)> read_lane(const T* from, int64_t pitch,
                                                 std::index_sequence<k...>) {
    return {{from[k * pitch]...}};
  }

  void put(const SoftmaxLaunch::Result& out, int64_t first, const T* numbers, int64_t n) const {
    if (out.data == nullptr) return;
    store(out.data, out.dtype, row_ * launch_.classes + first, numbers, n);
  }

  static void read(const SoftmaxLaunch::Numbers& numbers, T* to, int64_t offset, int64_t n) {
    with_float_dtype(numbers.dtype, [&](auto tag) {
      convert(to, static_cast<const typename decltype(tag)::type*>(numbers.data) + offset, 1, n);
    });
  }

  T of_sum(const SoftmaxLaunch::Numbers& numbers) const {
    T number;
    read(numbers, &number, row_ / launch_.rows_per_sum, 1);
    return number;
  }

  // In place where possible, else through scratch, which holds whole lanes.
  const T* load(const SoftmaxLaunch::Numbers& numbers, T* scratch) const {
    if (numbers.data == nullptr) return scratch;
    const int64_t offset = row_ % numbers.rows * launch_.classes;
    if (numbers.dtype == compute_dtype<T>() && launch_.classes % kLanes == 0) {
      return static_cast<const T*>(numbers.data) + offset;
    }
    read(numbers, scratch, offset, launch_.classes);
    return scratch;
  }

  // Noise is numbered through all rows, and made for several short ones at a time: four numbers are
  // of one counter, and many counters go through a loop at once.
  const T* load_noise(T* scratch) {
    if (launch_.seed == nullptr) return load(launch_.noise, scratch);
    const int64_t first = row_ * launch_.classes, last = first + launch_.classes;
    if (first < noise_first_ || last > noise_last_) {
      const auto* key = static_cast<const int64_t*>(launch_.seed);
      const int64_t all = launch_.rows * launch_.classes;
      noise_first_ = first / 4 * 4;
      noise_last_ = std::max(last, std::min(first + noise_pitch_, all));
      fill_gumbels(scratch, noise_first_ / 4, (noise_last_ - noise_first_ + 3) / 4,
                   {static_cast<uint64_t>(key[0]), static_cast<uint64_t>(key[1])});
    }
    return scratch + (first - noise_first_);
  }

  static constexpr int kKept = 7;
  static constexpr int64_t kAhead = 1024;  // numbers of noise

  const SoftmaxLaunch& launch_;
  const int64_t pitch_, noise_pitch_;
  const std::unique_ptr<T[]> memory_, kept_;
  const T *logits_, *other_, *noise_;
  int64_t row_, noise_first_ = 0, noise_last_ = 0;  // what noise the scratch holds
};

// A row's results; its number, of which sums are made.
template <class T>
double visit_softmax_row(const SoftmaxRow<T>& row, SoftmaxKernel kernel, Mixing<T> mixing) {
  T number = T(0);
  switch (kernel) {
    case SoftmaxKernel::kl: number = CategoricalKL::value(row, mixing); break;
    case SoftmaxKernel::kl_vjp:
      CategoricalKL::vjp(row, row.upstream(), row.other_upstream(), mixing);
      break;
    case SoftmaxKernel::sample: SampleCategorical::value(row, mixing); break;
    case SoftmaxKernel::sample_vjp: SampleCategorical::vjp(row, mixing); break;
    case SoftmaxKernel::relaxed:
    case SoftmaxKernel::relaxed_hard:
      GumbelSoftmax::value(row, row.temperature(), kernel == SoftmaxKernel::relaxed_hard);
      break;
    case SoftmaxKernel::relaxed_vjp: number = GumbelSoftmax::vjp(row, row.temperature()); break;
  }
  return static_cast<double>(number);
}

inline void add_up_rows(const SoftmaxLaunch& launch, const double* rows) {
  for (int64_t first = 0; first < launch.rows; first += launch.rows_per_sum) {
    double sum = 0.0;
    for (int64_t k = 0; k < launch.rows_per_sum; ++k) sum += rows[first + k];
    store(launch.sums.data, launch.sums.dtype, first / launch.rows_per_sum, &sum, 1);
  }
}

template <class T>
void run_softmax_rows(const SoftmaxLaunch& launch) {
  const bool wants_sums = launch.sums.data != nullptr;
  const std::unique_ptr<double[]> numbers(wants_sums ? new double[launch.rows]() : nullptr);
  const Mixing<T> mixing = mixing_of<T>(launch.unimix, launch.classes);
  parallel_ranges(launch.rows, launch.threads, [&](int64_t begin, int64_t end) {
    SoftmaxRow<T> row(launch);
    for (int64_t r = begin; r < end; ++r) {
      row.open(r);
      if (!row.counts()) {
        row.write_zeros();
        continue;
      }
      const double number = visit_softmax_row(row, launch.kernel, mixing);
      if (wants_sums) numbers[r] = number;
    }
  });
  if (wants_sums) add_up_rows(launch, numbers.get());
}

VK_END
