// log p(x) of an asymmetric Laplace distribution with scale e^s: quantile regression.
#pragma once

#include <type_traits>

#include "scale.h"

VK_BEGIN

// log p = log(tau (1 - tau)) - s - |u| (u < 0 ? 1 - tau : tau) with u = (x - loc) e^-s. The numbers
// of tau, which are the same for all elements, come rounded once each: `over` is tau, `under` is
// 1 - tau, `log_weight` is log(tau (1 - tau)).
struct AsymmetricLaplace {
  static constexpr const char* name = "asymmetric_laplace_log_likelihood";
  static constexpr int uniform_input = 1;  // s

  template <class T>
  struct Prepared {
    Units<T> units;
    T minus_s, beside;
    VK_FN Prepared(T s)
        : units(unlimited_inverse_exp(s)), minus_s(-s), beside(-beside_units(s)) {}
  };

  template <class T>
  VK_FN static Values<T, 1> value(T loc, std::type_identity_t<Prepared<T>> p, T x, T over, T under,
                                  T log_weight) {
    const T d = x - loc;
    const T weighted = absolute(d * p.units.inverse) * (d < T(0) ? under : over);
    return {{d == T(0) ? p.minus_s + log_weight : p.beside + log_weight - weighted}};
  }

  template <class T>
  VK_FN static Values<T, 3> vjp(T g, T loc, std::type_identity_t<Prepared<T>> p, T x, T over,
                                T under, T) {
    const T u = p.units.of(x - loc), inverse = p.units.inverse;
    const T slope = u > T(0) ? over * inverse : (u < T(0) ? -under * inverse : u);  // 0 at the kink
    const T dloc = g * slope;
    return {{dloc, g * (absolute(u) * (u < T(0) ? under : over) - T(1)), -dloc}};
  }
};

VK_END
