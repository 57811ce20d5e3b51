// What densities of counts share: x >= 0, usually whole numbers, beside the logarithm of a mean.
#pragma once

#include "../core/stirling.h"

VK_BEGIN

// The logarithm of a positive s, and what rounding it lost: more digits for differences.
VK_FN Rounded<float> rounded_log(float s) {
  const ReducedLog reduced = reduce_log_anywhere(s);
  const float integral = reduced.k * kLn2High;
  const float high = integral + reduced.f;
  const float back = high - integral;
  const float high_lost = (integral - (high - back)) + (reduced.f - back);
  const float tail = fma(reduced.k, kLn2Low, -minus_log1p_tail(reduced.f));
  const float sum = high + tail;
  return {log_or_limit(s, sum, -HUGE_VALF), (tail - (sum - high)) + high_lost};
}
VK_FN Rounded<double> rounded_log(double s) { return {std::log(s), 0.0}; }

// A count of 1 or more beside a mean e^m: t = m - log x. Below 1, x counts as 1 here, and t is m.
template <class T>
struct Count {
  bool small;
  T inverse, log;  // 1 / x and log x
  T t, lost;       // lost by rounding t
  bool near;       // the mean is close to x: a difference of the two would cancel
  ExpPhi<T> of_t;  // phi only if near

  VK_FN Count(T m, T x) : small(x < T(1)) {
    const T held = small ? T(1) : x;
    const Rounded<T> logarithm = rounded_log(held);
    inverse = T(1) / held;
    log = logarithm.value;
    const Rounded<T> ratio = difference(m, log);
    const T missing = finite_or_zero(ratio.lost - logarithm.lost);
    t = ratio.value + missing;
    lost = finite_or_zero(missing - (t - ratio.value));
    near = (t > T(-4)) & (t < T(4));
    of_t = exp_and_phi(t);
  }

  // e^t - 1 - t, which is the deviance of a Poisson count, divided by 2 x
  VK_FN T phi() const {
    const T close = fma(t + of_t.phi, lost, of_t.phi);
    const T far = fma(of_t.exp, lost, of_t.exp) - T(1) - at_most(T(1e30), t);
    return near ? close : (of_t.exp < T(HUGE_VAL) ? far : of_t.exp);
  }

  // log x! - x log x + x, for x >= 1
  VK_FN T stirling() const {
    return fma(T(0.5), log, T(0.9189385332046727) + stirling_error(inverse));
  }

  // digamma(1 + x) - log x, for x >= 1
  VK_FN T digamma() const { return inverse * (T(0.5) - inverse * digamma_rest(inverse)); }
};

VK_END
