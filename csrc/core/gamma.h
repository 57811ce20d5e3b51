// Functions around the logarithm of the gamma function, without the cancellation of differences of
// such logarithms.
#pragma once

#include "scalar.h"

VK_BEGIN

// L(a) = log Gamma(a + 1/2) - log Gamma(a) - log(a) / 2 for a > 0, from -inf at 0 to 0 at infinity:
// what a half step of the gamma function is beside its leading term. With the recurrence of Gamma,
//   L(a) = L(a + n) + 1/2 sum log(z (z + 1) / (z + 1/2)^2),
//   L'(a) = L'(a + n) + 1/4 sum 1 / (z (z + 1/2) (z + 1)),    z = a, ..., a + n - 1,
// and L(a + n) by its asymptotic series in 1 / (a + n).
template <class T>
constexpr int kHalfSteps = sizeof(T) == sizeof(double) ? 10 : 3;

template <class T>
VK_FN T half_step_series(T inverse) {
  return inverse * polynomial(inverse * inverse, T(-1.0 / 8), T(1.0 / 192), T(-1.0 / 640),
                              T(17.0 / 14336), T(-31.0 / 18432), T(691.0 / 180224),
                              T(-5461.0 / 425984));
}

template <class T>
VK_FN T half_step_series_derivative(T inverse) {
  const T square = inverse * inverse;
  return square * polynomial(square, T(1.0 / 8), T(-3.0 / 192), T(5.0 / 640), T(-7 * 17.0 / 14336),
                             T(9 * 31.0 / 18432), T(-11 * 691.0 / 180224),
                             T(13 * 5461.0 / 425984));
}

// The product of z (z + 1) / (z + 1/2)^2.
template <class T>
struct HalfStepProduct {
  T above, below;
};

template <int n, class T>
VK_FN HalfStepProduct<T> half_step_product(T z) {
  const T half = z + T(0.5), next = z + T(1);
  if constexpr (n == 1) return {z * next, half * half};
  else {
    const HalfStepProduct<T> rest = half_step_product<n - 1>(next);
    return {z * next * rest.above, half * half * rest.below};
  }
}

// The sum of 1 / (z (z + 1/2) (z + 1)).
template <int n, class T>
VK_FN T half_step_sum(T z) {
  const T next = z + T(1);
  const T term = T(1) / (z * (z + T(0.5)) * next);
  if constexpr (n == 1) return term;
  else return term + half_step_sum<n - 1>(next);
}

template <class T>
VK_FN T log_half_step(T a) {
  constexpr int n = kHalfSteps<T>;
  // Beyond that the product rounds to 1, and its factors would overflow.
  constexpr T kLargest = sizeof(T) == sizeof(double) ? T(1e9) : T(1e4);
  const HalfStepProduct<T> product = half_step_product<n>(at_most(kLargest, a));
  const T steps = T(0.5) * log(product.above / product.below);
  return steps + half_step_series(T(1) / (a + T(n)));
}

template <class T>
VK_FN T log_half_step_derivative(T a) {
  constexpr int n = kHalfSteps<T>;
  return fma(T(0.25), half_step_sum<n>(a), half_step_series_derivative(T(1) / (a + T(n))));
}

VK_END
