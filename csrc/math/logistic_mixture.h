// One component of a mixture of discretized logistics over red, green and blue pixels, and the sum
// over components.
#pragma once

#include "discretized_logistic.h"

VK_BEGIN

// tanh(x) and its derivative, from t = 1 - e^-2|x|
template <class T>
struct Tanh {
  T value, derivative;

  VK_FN explicit Tanh(T x) {
    const Decay<T> decay(T(2) * absolute(x));
    const T inverse = T(1) / (T(1) + decay.left);
    value = decay.gone * inverse;
    value = x < T(0) ? -value : value;
    derivative = T(4) * decay.left * (inverse * inverse);
  }
};

// Parameters, three for each colour: a mean, a log-scale, and a coefficient, read through tanh. The
// means of green and blue follow the colours before them (Salimans et al. 2017):
//   m_G = mean_G + c_0 x_R,   m_B = mean_B + c_1 x_R + c_2 x_G
struct RgbLogistic {
  static constexpr int n_parameters = 9, n_observed = 3;

  template <class T>
  VK_FN static T value(const T (&p)[n_parameters], const T (&x)[n_observed]) {
    const T green = fma(Tanh<T>(p[2]).value, x[0], p[3]);
    const T blue = fma(Tanh<T>(p[8]).value, x[1], fma(Tanh<T>(p[5]).value, x[0], p[6]));
    return log_p(p[0], p[1], x[0]) + log_p(green, p[4], x[1]) + log_p(blue, p[7], x[2]);
  }

  template <class T>
  VK_FN static Values<T, n_parameters> vjp(T g, const T (&p)[n_parameters],
                                           const T (&x)[n_observed]) {
    const Tanh<T> c0(p[2]), c1(p[5]), c2(p[8]);
    const auto red = gradients(g, p[0], p[1], x[0]);
    const auto green = gradients(g, fma(c0.value, x[0], p[3]), p[4], x[1]);
    const T of_blue = fma(c2.value, x[1], fma(c1.value, x[0], p[6]));
    const auto blue = gradients(g, of_blue, p[7], x[2]);
    return {{red.v[0], red.v[1], green.v[0] * (x[0] * c0.derivative),
             green.v[0], green.v[1], blue.v[0] * (x[0] * c1.derivative),
             blue.v[0], blue.v[1], blue.v[0] * (x[1] * c2.derivative)}};
  }

 private:
  template <class T>
  static constexpr T kLeastLogScale = T(-7);

  template <class T>
  VK_FN static T log_p(T loc, T log_scale, T x) {
    return DiscretizedLogistic::value<T>(loc, at_least(kLeastLogScale<T>, log_scale), x).v[0];
  }

  template <class T>
  VK_FN static Values<T, 2> gradients(T g, T loc, T log_scale, T x) {
    const auto d = DiscretizedLogistic::vjp<T>(g, loc, at_least(kLeastLogScale<T>, log_scale), x);
    return {{d.v[0], log_scale < kLeastLogScale<T> ? T(0) : d.v[1]}};
  }
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
