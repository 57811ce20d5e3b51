// Log-likelihoods of classes and of counts of classes, whose logits are the columns of a row. Both
// need log sum exp of a row: a result that engines reduce so (launch.h), and an input of the vjp.
#pragma once

#include "../core/scalar.h"

VK_BEGIN

// exp(logit - log_sum_exp), where `high` is the rounded log_sum_exp and `low` what that lost. As
// exact where both are large as where they are small: what the difference loses is added back.
template <class T>
VK_FN T probability(T logit, T high, T low) {
  const Rounded<T> from_high = difference(logit, high);
  const Rounded<T> d = difference(from_high.value, low);
  const T p = exp_of_minus(-d.value);
  return fma(p, finite_or_zero(from_high.lost + d.lost), p);
}

// log p(x) = logit[x] - log_sum_exp. One number of a row is the selected logit: it is looked up
// outside, and its gradient g (1 - p) written there (_ops/rows.py). Here are those of the others.
struct Categorical {
  static constexpr const char* name = "categorical_log_likelihood";
  static constexpr int log_sum_exp = 0;

  template <class T>
  VK_FN static Values<T, 1> value(T logit) {
    return {{logit}};
  }

  template <class T>
  VK_FN static Values<T, 1> vjp(T g, T logit, T high, T low) {
    return {{-(g * probability(logit, high, low))}};
  }
};

// sum of count * logit - total * log_sum_exp, from the three sums of one pass over a row.
struct Multinomial {
  static constexpr const char* name = "multinomial_log_likelihood";
  static constexpr int log_sum_exp = 2;

  template <class T>
  VK_FN static Values<T, 3> value(T logit, T count) {
    return {{count == T(0) ? T(0) : count * logit, count, logit}};  // 0 at a masked class
  }

  template <class T>
  VK_FN static Values<T, 2> vjp(T g, T total, T logit, T count, T high, T low) {
    const T p = probability(logit, high, low);
    return {{g * (count - total * p), g * (logit - high - low)}};
  }
};

VK_END
