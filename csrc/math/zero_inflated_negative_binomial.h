// log p(x) of a negative binomial count that is 0 in a further share of all cases.
#pragma once

#include <type_traits>

#include "negative_binomial.h"

VK_BEGIN

// With the share s = 1 / (1 + e^-l) of additional zeros, P the negative binomial's log p(x) and
// P0 its value at 0,
//   log p(0) = log(s + (1 - s) e^P0) = log(1 + y),   y = (1 - s) (e^P0 - 1),
//   log p(x) = log(1 - s) + P   for x > 0.
// A zero is the negative binomial's own with probability w = 1 / (1 + e^(l - P0)):
//   d log p(0) = w dP0 - (1 - w) y dl,   d log p(x) = dP - s dl.
struct ZeroInflatedNegativeBinomial {
  static constexpr const char* name = "zero_inflated_negative_binomial_log_likelihood";
  static constexpr int uniform_input = 1;  // r

  template <class T>
  using Prepared = NegativeBinomial::Prepared<T>;

  template <class T>
  VK_FN static Values<T, 1> value(T m, const std::type_identity_t<Prepared<T>>& of_r, T l, T x) {
    const NegativeBinomial::Terms<T> terms(m, of_r, x);
    const T count = NegativeBinomial::log_probability(terms);
    const Inflation<T> zeros(l, x == T(0) ? NegativeBinomial::log_zero(terms) : T(0));
    return {{x == T(0) ? zeros.log_probability : count - zeros.softplus}};
  }

  template <class T>
  VK_FN static Values<T, 4> vjp(T g, T m, const std::type_identity_t<Prepared<T>>& of_r, T l, T x) {
    const NegativeBinomial::Terms<T> terms(m, of_r, x);
    const NegativeBinomial::Gradient<T> d = NegativeBinomial::gradient(terms);
    const bool zero = x == T(0);
    const Inflation<T> zeros(l, zero ? NegativeBinomial::log_zero(terms) : T(0));
    const T own = zero ? zeros.own : T(1);
    const T dl = zero ? -zeros.y * zeros.additional : -zeros.share;
    return {{g * share_of(own, d.mean), g * share_of(own, d.dispersion), g * dl,
             g * share_of(own, d.x)}};
  }

 private:
  // Zeros that are none of the negative binomial's leave it no gradient, be it infinite.
  template <class T>
  VK_FN static T share_of(T own, T gradient) {
    return own == T(0) ? T(0) : own * gradient;
  }

  template <class T>
  struct Inflation {
    T share, softplus;     // s and -log(1 - s)
    T y, log_probability;  // of a zero
    T own, additional;     // w and 1 - w

    VK_FN Inflation(T l, T zero) {
      const T a = exp_of_minus(absolute(l));
      const T larger = T(1) / (T(1) + a), smaller = a * larger;
      share = l < T(0) ? smaller : larger;
      softplus = at_least(T(0), l) + log1p_unit(a);
      const ExpPhi<T> e = exp_and_phi(zero);
      const T expm1 = zero > T(-1) ? zero + e.phi : e.exp - T(1);
      y = (l < T(0) ? larger : smaller) * expm1;
      // log(1 + y) for -1/2 < y <= 0, and below the logarithm of the sum of both
      const T near = -log1p_unit(-y / (T(1) + at_least(T(-0.5), y)));
      const T apart = l == zero ? T(0) : l - zero;
      const T b = exp_of_minus(absolute(apart));
      const T far = (l > zero ? l : zero) + log1p_unit(b) - softplus;
      log_probability = y > T(-0.5) ? near : far;
      const T most = T(1) / (T(1) + b), least = b * most;
      own = apart < T(0) ? most : least;
      additional = apart < T(0) ? least : most;
    }
  };
};

VK_END
