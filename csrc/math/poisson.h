// log p(x) of a Poisson count with rate e^l.
#pragma once

#include "count.h"

VK_BEGIN

// From x = 1 on, with t = l - log x (Loader 2000),
//   log p = -(x (e^t - 1 - t) + log(2 pi x) / 2 + S(x)),   three terms of one sign,
// and below, where no term is large,
//   log p = x l - e^l - log x!;   d/dl = x - e^l,   d/dx = l - digamma(1 + x).
struct Poisson {
  static constexpr const char* name = "poisson_log_likelihood";

  template <class T>
  VK_FN static Values<T, 1> value(T l, T x) {
    const Count<T> count(l, x);
    const T finite = at_most(T(1e4), l);  // inf - inf is no limit, and e^l is infinite already
    const T linear = x == T(0) ? T(0) : x * (finite - small_log_factorial(x));
    return {{count.small ? linear - count.of_t.exp : -fma(x, count.phi(), count.stirling())}};
  }

  template <class T>
  VK_FN static Values<T, 2> vjp(T g, T l, T x) {
    const Count<T> count(l, x);
    const T dx = count.small ? l - small_digamma(x) : count.t - count.digamma();
    return {{g * (x - exp(l)), g * dx}};
  }
};

VK_END
