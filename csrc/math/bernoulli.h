// log p(x | logits) of a Bernoulli, x in [0, 1].
#pragma once

#include "../core/scalar.h"

VK_BEGIN

// With a = e^-|l|:  -log p = (l >= 0 ? 1 - x : x) |l| + log(1 + a), a sum of non-negative terms.
struct Bernoulli {
  static constexpr const char* name = "bernoulli_log_likelihood";

  template <class T>
  VK_FN static Values<T, 1> value(T logit, T x) {
    const T a = exp_of_minus(absolute(logit));
    const T weight = logit >= T(0) ? T(1) - x : x;
    return {{-(times_or_zero(weight, absolute(logit)) + log1p_unit(a))}};
  }

  // d/dlogit = x - sigmoid(logit), d/dx = logit
  template <class T>
  VK_FN static Values<T, 2> vjp(T g, T logit, T x) {
    const T a = exp_of_minus(absolute(logit));
    const T not_x = T(1) - x;
    const T numerator = logit >= T(0) ? fma(x, a, -not_x) : fma(-a, not_x, x);
    return {{g * (numerator / (T(1) + a)), g * logit}};
  }
};

VK_END
