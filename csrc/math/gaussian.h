// log p(x) of N(mean, e^v), v the log-variance that s encodes.
#pragma once

#include <type_traits>

#include "scale.h"

VK_BEGIN

// log p = -(u^2 + v + log 2 pi) / 2 with u = (x - mean) e^(-v/2): scaled before it is squared, or
// a tiny variance would give inf * 0.
template <template <class> class Scale>
struct Gaussian {
  static constexpr const char* name = "gaussian_log_likelihood";
  static constexpr int uniform_input = 1;  // s

  // What depends on s alone. Where s is one number for many elements, loops make this once.
  template <class T>
  struct Prepared {
    T s;
    Units<T> units;
    T at_mean, beside;
    VK_FN Prepared(Scale<T> scale, T encoded)
        : s(encoded),
          units(scale.units(s)),
          at_mean(T(-0.5) * (scale.log_variance(s) + T(1.8378770664093453))),
          beside(T(-0.5) * (beside_units(scale.log_variance(s)) + T(1.8378770664093453))) {}
  };

  template <class T>
  VK_FN static Values<T, 1> value(Scale<T>, T mean, std::type_identity_t<Prepared<T>> p, T x) {
    const T d = x - mean, u = d * p.units.inverse;
    return {{d == T(0) ? p.at_mean : p.beside - T(0.5) * u * u}};  // no fma: nor NaN of inf - inf
  }

  template <class T>
  VK_FN static Values<T, 3> vjp(Scale<T> scale, T g, T mean, std::type_identity_t<Prepared<T>> p,
                                T x) {
    const T u = p.units.of(x - mean);
    const T dmean = g * (u * p.units.finite);
    const T dlogvar = g * fma(T(0.5) * u, u, T(-0.5));
    return {{dmean, scale.from_dlogvar(dlogvar, p.s), -dmean}};
  }
};

VK_END
