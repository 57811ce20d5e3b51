// log p(x | probabilities) of a Bernoulli, x in [0, 1], as torch's binary_cross_entropy has it.
#pragma once

#include "../core/scalar.h"

VK_BEGIN

// With q = 1 - p,
//   log p(x) = x max(log p, -100) + (1 - x) max(log q, -100), both terms non-positive,
//   d log p(x) / dp = (x - p) / max(p q, 1e-12),   d log p(x) / dx = log p - log q.
// The clamps are torch's: the derivatives are not quite those of the value. No clamp takes a NaN
// away, which p outside [0, 1] gives.
struct BernoulliProbs {
  static constexpr const char* name = "bernoulli_probs_log_likelihood";

  template <class T>
  VK_FN static Values<T, 1> value(T p, T x) {
    const T log_p = at_least(T(-100), log(p)), log_q = at_least(T(-100), log_of_rest(p));
    return {{fma(x, log_p, (T(1) - x) * log_q)}};
  }

  template <class T>
  VK_FN static Values<T, 2> vjp(T g, T p, T x) {
    const T variance = p * (T(1) - p);
    const T held = variance >= T(0) ? at_least(T(1e-12), variance) : T(NAN);
    return {{g * ((x - p) / held), g * (log(p) - log_of_rest(p))}};
  }

 private:
  // log(1 - p), to the last digits of p: neither term is positive
  template <class T>
  VK_FN static T log_of_rest(T p) {
    return -p - log_gap(T(1) - p, -p);
  }
};

VK_END
