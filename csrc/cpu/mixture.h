// The CPU's loop over mixtures: tile by tile of neighbouring pixels, component by component.
#pragma once

#include <memory>
#include <utility>

#include "../math/logistic_mixture.h"
#include "../mixture.h"
#include "parallel.h"
#include "sinks.h"

VK_BEGIN

constexpr int64_t kPixels = 64;  // of a tile

// The calling thread's work on one tile at a time.
template <class Component>
class MixtureTile {
  using T = typename Component::Number;

 public:
  explicit MixtureTile(const MixtureLaunch& launch)
      : launch_(launch),
        kept_(launch.wants_gradients() ? new T[launch.components * kKept * kPixels] : nullptr) {}

  // The sum of the pixels' log-likelihoods.
  double value(int64_t row, int64_t first, int64_t n) {
    visit_components<false>(row, first, n);
    const int64_t lanes = whole_lanes(n);
#pragma omp simd
    for (int64_t j = 0; j < lanes; ++j) take_value(j);
    return sum_in_lanes(out_[0], n);
  }

  void gradients(int64_t row, int64_t first, int64_t n) {
    visit_components<true>(row, first, n);
    T upstream;
    read(launch_.upstream, &upstream, row, 1);
    const int64_t lanes = whole_lanes(n);
    for (int64_t k = 0; k < launch_.components; ++k) {
      find_plane(row, first, n, 0, k);
#pragma omp simd
      for (int64_t j = 0; j < lanes; ++j) {
        weigh_gradients(upstream, kept(k), j, in_[0], Parameters());
      }
      for (int p = 0; p <= kParameters; ++p) {
        store(launch_.out, launch_.out_dtype, plane(row, p, k) + first, out_[p], n);
      }
    }
  }

 private:
  static constexpr int kParameters = Component::n_parameters, kObserved = Component::n_observed;
  static constexpr int kKept = 1 + kParameters;
  using Parameters = std::make_index_sequence<kParameters>;
  using Observed = std::make_index_sequence<kObserved>;

  // Where a plane of `params` begins: the logits' is number 0.
  int64_t plane(int64_t row, int64_t parameter, int64_t component) const {
    const int64_t in_row = parameter * launch_.components + component;
    return (row * (1 + kParameters) * launch_.components + in_row) * launch_.pixels;
  }

  // Not inlined: it would be there once for each parameter, with loops for all dtypes.
  __attribute__((noinline)) static void read(const MixtureLaunch::Planes& planes, T* to,
                                             int64_t offset, int64_t n) {
    with_dtype(planes.dtype, [&](auto tag) {
      convert(to, static_cast<const typename decltype(tag)::type*>(planes.data) + offset, 1, n);
    });
  }

  // Whole lanes of them, in place where possible, else through scratch.
  static const T* load(const MixtureLaunch::Planes& planes, T* scratch, int64_t offset, int64_t n) {
    if (planes.dtype == compute_dtype<T>() && n % kLanes == 0) {
      return static_cast<const T*>(planes.data) + offset;
    }
    read(planes, scratch, offset, n);
    return scratch;
  }

  void find_plane(int64_t row, int64_t first, int64_t n, int parameter, int64_t component) {
    in_[parameter] =
        load(launch_.params, scratch_[parameter], plane(row, parameter, component) + first, n);
  }

  void find_component(int64_t row, int64_t first, int64_t n, int64_t component) {
    for (int p = 0; p <= kParameters; ++p) find_plane(row, first, n, p, component);
  }

  T* kept(int64_t component) { return kept_.get() + component * kKept * kPixels; }

  template <bool kWithGradients>
  void visit_components(int64_t row, int64_t first, int64_t n) {
    for (int c = 0; c < kObserved; ++c) {
      x_[c] = load(launch_.x, x_scratch_[c], (row * kObserved + c) * launch_.pixels + first, n);
    }
    const int64_t lanes = whole_lanes(n);
    fill(largest_, -T(HUGE_VAL), lanes);
    for (int64_t k = 0; k < launch_.components; ++k) {
      find_plane(row, first, n, 0, k);
#pragma omp simd
      for (int64_t j = 0; j < lanes; ++j) largest_[j] = at_least(largest_[j], in_[0][j]);
    }
    fill(weights_, T(0), lanes);
    fill(most_, -T(HUGE_VAL), lanes);
    fill(sum_, T(0), lanes);
    for (int64_t k = 0; k < launch_.components; ++k) {
      find_component(row, first, n, k);
      T* const to_keep = kWithGradients ? kept(k) : nullptr;
#pragma omp simd
      for (int64_t j = 0; j < lanes; ++j) {
        take_component<kWithGradients>(to_keep, j, in_, x_, Parameters(), Observed());
      }
    }
  }

  VK_FN MixtureSums<T> sums(int64_t j) const {
    return {largest_[j], weights_[j], {most_[j], sum_[j]}};
  }

  // What is done to one pixel stands in functions of their own: compilers keep a loop scalar that
  // declares objects with member functions.
  VK_FN void take_value(int64_t j) { out_[0][j] = sums(j).value(); }

  template <bool kWithGradients, size_t... P, size_t... C>
  VK_FN void take_component(T* kept, int64_t j, const T* const (&in)[1 + kParameters],
                            const T* const (&x)[kObserved], std::index_sequence<P...>,
                            std::index_sequence<C...>) {
    const T observed[kObserved] = {x[C][j]...};
    const Component component({in[1 + P][j]...}, observed);
    MixtureSums<T> so_far = sums(j);
    const T weighted = so_far.add(in[0][j], component.log_p());
    weights_[j] = so_far.weights;
    most_[j] = so_far.joint.most;
    sum_[j] = so_far.joint.sum;
    if constexpr (kWithGradients) {
      const auto d = component.gradients(observed);
      kept[j] = weighted;
      ((kept[(1 + P) * kPixels + j] = d.v[P]), ...);
    }
  }

  template <size_t... P>
  VK_FN void weigh_gradients(T upstream, const T* kept, int64_t j, const T* logits,
                             std::index_sequence<P...>) {
    const MixtureSums<T> all = sums(j);
    const T share = all.share(kept[j]);
    out_[0][j] = upstream * (share - all.weight(logits[j]));
    ((out_[1 + P][j] = upstream * share * kept[(1 + P) * kPixels + j]), ...);
  }

  const MixtureLaunch& launch_;
  // Of each component, the logarithms of its weighted densities, then their gradients, which wait
  // there for the component's share of the mixture.
  std::unique_ptr<T[]> kept_;
  const T* in_[1 + kParameters];   // the planes of the component at hand, the logits' first
  const T* x_[kObserved];
  T scratch_[1 + kParameters][kPixels] = {}, x_scratch_[kObserved][kPixels] = {};
  T largest_[kPixels], weights_[kPixels], most_[kPixels], sum_[kPixels];
  T out_[1 + kParameters][kPixels];
};

template <class Component>
void run_mixture(const MixtureLaunch& launch) {
  const int64_t tiles = (launch.pixels + kPixels - 1) / kPixels;
  const std::unique_ptr<double[]> partial(new double[launch.rows * tiles]);
  parallel_ranges(launch.rows * tiles, launch.threads, [&](int64_t begin, int64_t end) {
    const std::unique_ptr<MixtureTile<Component>> tile(new MixtureTile<Component>(launch));
    for (int64_t task = begin; task < end; ++task) {
      const int64_t row = task / tiles, first = task % tiles * kPixels;
      const int64_t left = launch.pixels - first, n = left < kPixels ? left : kPixels;
      if (launch.wants_gradients()) tile->gradients(row, first, n);
      else partial[task] = tile->value(row, first, n);
    }
  });
  if (launch.wants_gradients()) return;
  for (int64_t row = 0; row < launch.rows; ++row) {
    double sum = 0.0;
    for (int64_t t = 0; t < tiles; ++t) sum += partial[row * tiles + t];
    store(launch.out, launch.out_dtype, row, &sum, 1);
  }
}

VK_END
