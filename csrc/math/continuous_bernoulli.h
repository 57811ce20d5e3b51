// log p(x | logits) of a continuous Bernoulli, whose density on [0, 1] is proportional to e^(l x).
#pragma once

#include "../core/scalar.h"

VK_BEGIN

// With the integral (e^l - 1) / l of e^(l x) over [0, 1],
//   log p = (x - 1/2) l - K(l),   d log p / dl = x - 1/2 - K'(l),
//   K(l) = log(sinh(l / 2) / (l / 2)), an even function: l^2 / 24 - ...
// Small logits need K itself, as l^2 times a polynomial in l^2 (float: minimax; double: Taylor).
// For large ones, with q as for a Bernoulli and m = |l|, no large terms are left to cancel in
//   log p = q l + log(m / (1 - e^-m)).
struct ContinuousBernoulli {
  static constexpr const char* name = "continuous_bernoulli_log_likelihood";

  template <class T>
  VK_FN static Values<T, 1> value(T logit, T x) {
    const T m = absolute(logit);
    const T a = exp_of_minus(m);
    const T q = logit >= T(0) ? x - T(1) : x;
    const T square = logit * logit;
    const T near = fma(x - T(0.5), logit, -square * centre(square));
    const T linear = q == T(0) ? T(0) : q * logit;
    const T finite = q == T(0) ? m : at_most(kLargest<T>, m);  // inf - inf is no limit
    const T far = linear + log(finite / (T(1) - a));
    return {{m < kNear<T> ? near : far}};
  }

  template <class T>
  VK_FN static Values<T, 2> vjp(T g, T logit, T x) {
    const T m = absolute(logit);
    const T a = exp_of_minus(m);
    const T q = logit >= T(0) ? x - T(1) : x;
    const T near = fma(-logit, slope(logit * logit), x - T(0.5));
    const T shift = T(1) / m - a / (T(1) - a);
    const T far = q + (logit >= T(0) ? shift : -shift);
    return {{g * (m < kNear<T> ? near : far), g * logit}};
  }

 private:
  template <class T>
  static constexpr T kNear = sizeof(T) == sizeof(double) ? T(1) : T(4);
  template <class T>
  static constexpr T kLargest = sizeof(T) == sizeof(double) ? T(1.7976931348623157e308)
                                                            : T(3.40282347e38f);

  // K(l) / l^2 and K'(l) / l from l^2
  VK_FN static float centre(float square) {
    return polynomial(square, 0.0416666679f, -0.000347226829f, 5.51417088e-06f, -1.03843263e-07f,
                      2.10555862e-09f, -3.98085315e-11f, 4.58425019e-13f);
  }
  VK_FN static double centre(double square) {
    return polynomial(square, 1.0 / 24, -0.000347222222222222222, 5.51146384479717813e-6,
                      -1.0333994708994709e-7, 2.0876756987868099e-9, -4.40349178223957765e-11,
                      9.55895466477477059e-13, -2.11855018520161429e-14, 4.77003447570991365e-16,
                      -1.08743434927903094e-17, 2.50409219470919523e-19);
  }
  VK_FN static float slope(float square) {
    return polynomial(square, 0.0833333358f, -0.00138890231f, 3.30807234e-05f, -8.30589556e-07f,
                      2.14209237e-08f, -5.55435975e-10f, 1.22252581e-11f, -1.47751372e-13f);
  }
  VK_FN static double slope(double square) {
    return polynomial(square, 1.0 / 12, -0.00138888888888888889, 3.30687830687830688e-5,
                      -8.2671957671957672e-7, 2.0876756987868099e-8, -5.28419013868749318e-10,
                      1.33825365306846788e-11, -3.38968029632258287e-13, 8.58606205627784456e-15,
                      -2.17486869855806187e-16, 5.50900282836022952e-18);
  }
};

VK_END
