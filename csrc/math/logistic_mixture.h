// One component of a mixture of discretized logistics over red, green and blue pixels, and the sum
// over components.
#pragma once

#include "limited_logistic.h"

VK_BEGIN

// tanh(x) and its derivative, to the last digit of 1: what is added to a mean needs no more.
template <class T>
struct Tanh {
  T value, derivative;

  VK_FN explicit Tanh(T x) {
    const T e = exp_of_minus(T(2) * absolute(x));
    const T inverse = T(1) / (T(1) + e);
    const T magnitude = (T(1) - e) * inverse;
    value = x < T(0) ? -magnitude : magnitude;
    derivative = T(4) * e * (inverse * inverse);
  }
};

// Parameters, three for each colour: a mean, a log-scale, and a coefficient, read through tanh. The
// means of green and blue follow the colours before them (Salimans et al. 2017):
//   m_G = mean_G + c_0 x_R,   m_B = mean_B + c_1 x_R + c_2 x_G
template <class T>
struct RgbLogistic {
  using Number = T;
  static constexpr int n_parameters = 9, n_observed = 3;

  VK_FN RgbLogistic(const T (&p)[n_parameters], const T (&x)[n_observed])
      : c0_(p[2]),
        c1_(p[5]),
        c2_(p[8]),
        red_(p[0], p[1], x[0]),
        green_(fma(c0_.value, x[0], p[3]), p[4], x[1]),
        blue_(fma(c2_.value, x[1], fma(c1_.value, x[0], p[6])), p[7], x[2]),
        inverse_(T(1) / (red_.denominator * green_.denominator * blue_.denominator)) {}

  VK_FN T log_p() const {
    const T ratio = red_.numerator * green_.numerator * blue_.numerator * inverse_;
    return log_of_normal(ratio) + (red_.shift + green_.shift + blue_.shift);
  }

  // The derivatives of log_p with respect to the parameters.
  VK_FN Values<T, n_parameters> gradients(const T (&x)[n_observed]) const {
    const auto red = red_.gradients(inverse_ * (green_.denominator * blue_.denominator));
    const auto green = green_.gradients(inverse_ * (red_.denominator * blue_.denominator));
    const auto blue = blue_.gradients(inverse_ * (red_.denominator * green_.denominator));
    return {{red.v[0], red.v[1], green.v[0] * (x[0] * c0_.derivative),
             green.v[0], green.v[1], blue.v[0] * (x[0] * c1_.derivative),
             blue.v[0], blue.v[1], blue.v[0] * (x[1] * c2_.derivative)}};
  }

 private:
  Tanh<T> c0_, c1_, c2_;
  LimitedLogistic<T> red_, green_, blue_;
  T inverse_;  // 1 / the product of the denominators
};

// log(e^a_1 + e^a_2 + ...), term by term: sum * e^most is the sum so far.
template <class T>
struct LogSum {
  T most, sum;

  VK_FN void add(T a) {
    const T ratio = a == -T(HUGE_VAL) ? T(0) : exp_of_minus(absolute(a - most));
    sum = a > most ? fma(sum, ratio, T(1)) : sum + ratio;
    most = at_least(most, a);
  }
  VK_FN T value() const { return most + log(sum); }
};

// What a pixel's components add up to, streaming over them: of the weights e^(logit - largest), and
// of the weighted densities.
template <class T>
struct MixtureSums {
  T largest;  // logit
  T weights = T(0);
  LogSum<T> joint = {-T(HUGE_VAL), T(0)};

  // The logarithm of the component's weighted density; the weights add up to `weights`.
  VK_FN T add(T logit, T log_density) {
    const T shifted = logit - largest;
    weights += exp_of_minus(-shifted);
    joint.add(shifted + log_density);
    return shifted + log_density;
  }
  VK_FN T value() const { return joint.value() - log(weights); }

  // The component's share of the density, from what `add` returned; and its weight.
  VK_FN T share(T log_weighted) const { return exp_of_minus(joint.most - log_weighted) / joint.sum; }
  VK_FN T weight(T logit) const { return exp_of_minus(largest - logit) / weights; }
};

VK_END
