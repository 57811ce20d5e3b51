// log p(x) of a Laplace distribution with scale e^s.
#pragma once

#include <type_traits>

#include "scale.h"

VK_BEGIN

// log p = -(|u| + s + log 2) with u = (x - loc) e^-s
struct Laplace {
  static constexpr const char* name = "laplace_log_likelihood";
  static constexpr int uniform_input = 1;  // s

  // What depends on s alone. Where s is one number for many elements, loops make this once.
  template <class T>
  struct Prepared {
    Units<T> units;
    T at_loc, beside;
    VK_FN Prepared(T s)
        : units(unlimited_inverse_exp(s)),
          at_loc(-(s + T(0.6931471805599453))),
          beside(-(beside_units(s) + T(0.6931471805599453))) {}
  };

  template <class T>
  VK_FN static Values<T, 1> value(T loc, std::type_identity_t<Prepared<T>> p, T x) {
    const T d = x - loc;
    return {{d == T(0) ? p.at_loc : p.beside - absolute(d * p.units.inverse)}};
  }

  template <class T>
  VK_FN static Values<T, 3> vjp(T g, T loc, std::type_identity_t<Prepared<T>> p, T x) {
    const T u = p.units.of(x - loc), inverse = p.units.inverse;
    const T slope = u > T(0) ? inverse : (u < T(0) ? -inverse : u);  // 0 at the kink, as in torch
    const T dloc = g * slope;
    return {{dloc, g * (absolute(u) - T(1)), -dloc}};
  }
};

VK_END
