// log p(x | logits) of a Bernoulli, x in [0, 1].
#pragma once

#include "../core/scalar.h"

VK_BEGIN

// With a = e^-|l| and (q, p) = l >= 0 ? (x - 1, x) : (x, x - 1):
//   log p = q l - log(1 + a), both terms non-positive;   d log p / dl = (p a + q) / (1 + a).
struct Bernoulli {
  static constexpr const char* name = "bernoulli_log_likelihood";

  template <class T>
  VK_FN static Values<T, 1> value(T logit, T x) {
    const T a = exp_of_minus(absolute(logit));
    const T q = logit >= T(0) ? x - T(1) : x;
    const T rest = -log1p_unit(a);                             // NaN comes through a
    return {{q == T(0) ? rest : fma(q, logit, rest)}};         // at an infinite logit too
  }

  template <class T>
  VK_FN static Values<T, 2> vjp(T g, T logit, T x) {
    const T a = exp_of_minus(absolute(logit));
    const T q = logit >= T(0) ? x - T(1) : x;
    const T p = logit >= T(0) ? x : x - T(1);
    return {{g * (fma(p, a, q) * inverse_of_normal(T(1) + a)), g * logit}};
  }
};

VK_END
