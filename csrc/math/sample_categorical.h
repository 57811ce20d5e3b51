// Samples of categorical distributions, whose logits are a row each, by noise G of Gumbel's
// distribution: the class of the largest l + G, and the softmax of (l + G) / temperature.
#pragma once

#include "softmax_row.h"

VK_BEGIN

// 1 for the class `chosen`, 0 for all others; NaN where the row's sum is.
template <class T, class Row>
VK_PASS void write_one_hot(const Row& rows, int64_t chosen, T sum) {
  const T one = sum == sum ? T(1) : sum, none = sum == sum ? T(0) : sum;
  rows.template write<1>([chosen, one, none](int64_t j) VK_EACH {
    return Values<T, 1>{{j == chosen ? one : none}};
  });
}

// 1 for the class of the largest score.
template <class T, class Row, class Score>
VK_PASS void write_first_largest(const Row& rows, T sum, const Score& score) {
  const auto kept = rows.template keep<0, 1>(
      [&score](int64_t j) VK_EACH { return Values<T, 1>{{score(j)}}; });
  const auto read = [kept](int64_t j) VK_EACH { return kept(j).v[0]; };
  write_one_hot(rows, rows.first(read, rows.greatest(read)), sum);
}

// A sample, with the gradients of the probabilities q = (1 - u) s + u / K, s the softmax: "straight
// through" (Bengio et al. 2013).
struct SampleCategorical {
  template <class T, class Row>
  VK_PASS static void value(const Row& rows, Mixing<T> mixing) {
    const T top = rows.greatest([&rows](int64_t j) VK_EACH { return rows.logit(j); });
    const T sum = rows.template sums<1>([&rows, top](int64_t j) VK_EACH {
      return Values<T, 1>{{exp_below_top(rows.logit(j), top)}};
    }).v[0];
    // (Two loops: a choice within one would keep it scalar.)
    if (mixing.is_none()) {
      write_first_largest(rows, sum, [&rows, top](int64_t j) VK_EACH {
        return below_top(rows.logit(j), top) + rows.noise(j);
      });
    } else {
      write_first_largest(rows, sum, [&rows, top, sum, mixing](int64_t j) VK_EACH {
        return log(mixing.of(exp_below_top(rows.logit(j), top) / sum)) + rows.noise(j);
      });
    }
  }

  // (1 - u) s (g - sum of s g)
  template <class T, class Row>
  VK_PASS static void vjp(const Row& rows, Mixing<T> mixing) {
    const T top = rows.greatest([&rows](int64_t j) VK_EACH { return rows.logit(j); });
    const auto e = rows.template keep<0, 1>([&rows, top](int64_t j) VK_EACH {
      return Values<T, 1>{{exp_below_top(rows.logit(j), top)}};
    });
    const Values<T, 2> sums = rows.template sums<2>([&rows, e](int64_t j) VK_EACH {
      return Values<T, 2>{{e(j).v[0], weighted(e(j).v[0], rows.other(j))}};
    });
    const T sum = sums.v[0], mean = sums.v[1] / sums.v[0];
    rows.template write<1>([&rows, e, sum, mean, mixing](int64_t j) VK_EACH {
      const T s = e(j).v[0] / sum;
      return Values<T, 1>{{mixing.kept * s * (rows.other(j) - mean)}};
    });
  }
};

// y = softmax(z / temperature), z = l + G (Jang et al. 2017; Maddison et al. 2017), or the one-hot
// vector of the largest, with the gradients of y.
struct GumbelSoftmax {
  // z, less the largest logit
  template <class T, class Row>
  VK_FN static T perturbed(const Row& rows, T top, int64_t j) {
    return below_top(rows.logit(j), top) + rows.noise(j);
  }

  template <class T>
  struct Tops {
    T logit, perturbed;
  };
  template <class T, class Row>
  VK_PASS static Tops<T> tops(const Row& rows) {
    const T top = rows.greatest([&rows](int64_t j) VK_EACH { return rows.logit(j); });
    const auto z = [&rows, top](int64_t j) VK_EACH { return perturbed(rows, top, j); };
    return {top, rows.greatest(z)};
  }

  template <class T, class Row>
  VK_PASS static void value(const Row& rows, T temperature, bool hard) {
    const Tops<T> top = tops<T>(rows);
    const auto weight = rows.template keep<0, 1>([&rows, top, temperature](int64_t j) VK_EACH {
      const T below = top.perturbed - perturbed(rows, top.logit, j);
      return Values<T, 1>{{exp_of_minus(below / temperature)}};
    });
    const T sum = rows.template sums<1>(weight).v[0];
    if (hard) {
      const auto z = [&rows, top](int64_t j) VK_EACH { return perturbed(rows, top.logit, j); };
      write_one_hot(rows, rows.first(z, top.perturbed), sum);
    } else {
      rows.template write<1>([weight, sum](int64_t j) VK_EACH {
        return Values<T, 1>{{weight(j).v[0] / sum}};
      });
    }
  }

  // dl = y (g - sum of y g) / temperature; given back is the temperature's gradient, the sum of
  // dl (largest z - z) / temperature.
  template <class T, class Row>
  VK_PASS static T vjp(const Row& rows, T temperature) {
    const Tops<T> top = tops<T>(rows);
    const auto weight = rows.template keep<0, 2>([&rows, top, temperature](int64_t j) VK_EACH {
      const T below = (top.perturbed - perturbed(rows, top.logit, j)) / temperature;
      return Values<T, 2>{{exp_of_minus(below), below}};
    });
    const Values<T, 2> sums = rows.template sums<2>([&rows, weight](int64_t j) VK_EACH {
      const T e = weight(j).v[0];
      return Values<T, 2>{{e, weighted(e, rows.other(j))}};
    });
    const T sum = sums.v[0], mean = sums.v[1] / sums.v[0];
    const auto slopes = [&rows, weight, temperature, sum, mean](int64_t j) VK_EACH {
      const Values<T, 2> e = weight(j);
      const T y = e.v[0] / sum, slope = y * (rows.other(j) - mean) / temperature;
      return Values<T, 2>{{slope, y == T(0) ? T(0) : slope * e.v[1]}};
    };
    rows.template write<1>([slopes](int64_t j) VK_EACH {
      return Values<T, 1>{{slopes(j).v[0]}};
    });
    return rows.template sums<1>([slopes](int64_t j) VK_EACH {
      return Values<T, 1>{{slopes(j).v[1]}};
    }).v[0];
  }
};

VK_END
