// log p(x) of N(mean, e^v), v the log-variance that s encodes.
#pragma once

#include "scale.h"

VK_BEGIN

// log p = -(u^2 + v + log 2 pi) / 2 with u = (x - mean) e^(-v/2): scaled before it is squared, or
// a tiny variance would give inf * 0.
template <class Scale>
struct Gaussian {
  static constexpr const char* name = "gaussian_log_likelihood";

  static constexpr int uniform_input = Scale::hoists ? 1 : -1;  // s

  template <class T>
  VK_FN static Values<T, 1> value(T mean, T s, T x) {
    const T constant = T(0.5) * (Scale::log_variance(s) + T(1.8378770664093453));
    return {{-(half_square(scaled_difference(x, mean, Scale::inverse_std(s))) + constant)}};
  }

  template <class T>
  VK_FN static Values<T, 3> vjp(T g, T mean, T s, T x) {
    const T inverse_std = Scale::inverse_std(s);
    const Rounded<T> u = scaled_difference(x, mean, inverse_std);
    const T dmean = g * times_or_zero(u.value, inverse_std);
    const T dlogvar = g * (half_square(u) - T(0.5));
    return {{dmean, Scale::from_dlogvar(dlogvar, s), -dmean}};
  }
};

VK_END
