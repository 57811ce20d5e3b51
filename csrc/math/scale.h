// How a network's output s encodes a standard deviation: by its log-variance or its logarithm,
// which differ by a factor, or as it is.
//
// Densities are written once over these, in terms of the log-variance v:
//   std(s) = e^(v/2), inverse_std(s) = e^(-v/2), units(s) = the same unlimited, log_variance(s) =
//   v, from_dlogvar(dv, s) and from_dstd(d, std(s)) = the chain rule back to s, spread(s) = what
//   the KL divergence to a unit variance needs (below), relative_spread(s, p) = the same for the
//   ratio of the deviations that s and p encode.
#pragma once

#include "../core/scalar.h"

VK_BEGIN

// Of a Gaussian with log-variance v: half_phi = (e^v - 1 - v) / 2 is its variance's share of the
// KL divergence to N(0, 1), half_expm1 = (e^v - 1) / 2 the derivative of that with respect to v.
template <class T>
struct Spread {
  T std, half_phi, half_expm1;
};

// From h = v / 2 with a single exponential. With h = k ln 2 + r, e^r = 1 + m, m = r + c / 2 and
// q = 2^(2k - 1), so that e^v = 2 q (1 + m)^2,
//   (e^v - 1 - v) / 2 = q (m^2 + c) + (q - 1/2) 2r + (q - 1/2 - k ln 2),
//   (e^v - 1) / 2 = q m (m + 2) + (q - 1/2):
// nothing cancels. Below 2^-121 a smaller q changes nothing; beyond 2^127 all is infinite.
VK_FN Spread<float> spread_from_log_std(float h) {
  const float near = limited_for_exp(h);
  const ReducedExp e = reduce_exp(near, kTwiceBiasOfExponents);
  const float c = twice_exp_curvature(e.r) * (e.r * e.r);
  const float m = fma(0.5f, c, e.r);
  const float k = at_least(kRoundToInteger + kTwiceBiasOfExponents - 60.0f, e.scaled);
  const float q = bit_cast<float>((bit_cast<uint32_t>(k) << 24) + 0x41000000u);
  const float less = q - 0.5f;
  const float rest = fma(less, e.r + e.r, fma(e.k, -0.693147181f, less));
  const float half_phi = fma(q, fma(m, m, c), rest);
  const float half_expm1 = fma(q, m * (m + 2.0f), less);
  const bool infinite = e.k > 64.5f;
  return {exp_of_reduced(1.0f + m, e.scaled, h),
          (infinite ? HUGE_VALF : half_phi) + absolute(near - h),
          infinite ? HUGE_VALF : half_expm1};
}

// In the middle, with w = phi(h), (e^v - 1 - v) / 2 = h^2 / 2 + w (1 + h + w / 2) and
// (e^v - 1) / 2 = u (1 + u / 2), u = h + w; outside the plain differences.
VK_FN Spread<double> spread_from_log_std(double h) {
  const ExpPhi<double> e = exp_and_phi(h);
  const double expm1 = h + e.phi, half_exp = 0.5 * e.exp;
  const double near_phi = fma(e.phi, fma(0.5, e.phi, 1.0 + h), 0.5 * h * h);
  const double near_expm1 = expm1 * fma(0.5, expm1, 1.0);
  const double far_phi = fma(half_exp, e.exp, -(0.5 + at_most(400.0, h)));  // inf - inf is no limit
  const double far_expm1 = fma(half_exp, e.exp, -0.5);
  const bool near = (h > -0.5) & (h < 2.0);
  return {e.exp, near ? near_phi : far_phi, near ? near_expm1 : far_expm1};
}

// The same at h + lost, for a tiny `lost`: what rounding h left out.
template <class T>
VK_FN Spread<T> corrected(Spread<T> s, T lost) {
  lost = finite_or_zero(lost);
  const T change = finite_or_zero(T(2) * s.half_expm1 * lost);  // of half_phi: its derivative
  return {s.std, s.half_phi + change, s.half_expm1 + change + lost};
}

// 1 / std, finite, so that a distance of 0 stays 0 deviations.
VK_FN float limited_inverse(float inverse) { return at_most(3.40282347e38f, inverse); }
VK_FN double limited_inverse(double inverse) { return at_most(1.7976931348623157e308, inverse); }

// The same for std = e^h, more precise than exp because it will be squared, and never 0, so that
// an infinite distance stays one.
VK_FN float unlimited_inverse_exp(float h) { return at_least(1.4e-45f, precise_exp(-h)); }
VK_FN double unlimited_inverse_exp(double h) { return at_least(4.9e-324, precise_exp(-h)); }
template <class T>
VK_FN T inverse_exp(T h) {
  return limited_inverse(unlimited_inverse_exp(h));
}

// Of a deviation that may be 0: any distance but 0 is infinitely many of those.
template <class T>
struct Units {
  T inverse, finite, none;  // `none` is 0, or NaN of NaN

  VK_FN explicit Units(T of_deviation)
      : inverse(of_deviation), finite(limited_inverse(inverse)), none(T(0) * finite) {}

  VK_FN T of(T distance) const { return distance == T(0) ? none : distance * inverse; }
};

// The logarithm of a deviation beside a distance in units of it: a number where that is infinite,
// which outgrows it.
template <class T>
VK_FN T beside_units(T log_of_deviation) {
  return at_least(T(-1e30), log_of_deviation);
}

// v = factor * s, the factor 1 for log-variances and 2 for logarithms of deviations. Products with
// it and its half are exact, so that one kernel for both loses nothing.
template <class T>
struct Log {
  static constexpr const char* name = "log";
  T factor, half;

  VK_FN explicit Log(float of_launch) : factor(of_launch), half(T(0.5) * factor) {}

  VK_FN T std(T s) const { return exp(half * s); }
  VK_FN T inverse_std(T s) const { return inverse_exp(half * s); }
  VK_FN Units<T> units(T s) const { return Units<T>(unlimited_inverse_exp(half * s)); }
  VK_FN T log_variance(T s) const { return factor * s; }
  VK_FN T from_dlogvar(T dv, T) const { return factor * dv; }
  VK_FN T from_dstd(T d, T std) const { return half * std * d; }
  VK_FN Spread<T> spread(T s) const { return spread_from_log_std(half * s); }
  VK_FN Spread<T> relative_spread(T s, T p) const {
    const Rounded<T> d = difference(s, p);
    return corrected(spread(d.value), half * d.lost);
  }
};

template <class T>
struct Std {
  static constexpr const char* name = "std";

  VK_FN explicit Std(float) {}

  VK_FN T std(T s) const { return s; }
  VK_FN T inverse_std(T s) const { return limited_inverse(T(1) / s); }
  VK_FN Units<T> units(T s) const { return Units<T>(T(1) / s); }
  VK_FN T log_variance(T s) const { return T(2) * log(s); }
  VK_FN T from_dlogvar(T dv, T s) const {
    return absolute(dv) < T(HUGE_VAL) ? T(2) * dv / s : dv;  // at s = inf, inf / inf is no limit
  }
  VK_FN T from_dstd(T d, T) const { return d; }
  VK_FN Spread<T> spread(T s) const { return from_excess(s, s - T(1)); }

  // With s / p = 1 + t; near 1, where the logarithm is taken of t, what rounding t lost matters.
  VK_FN Spread<T> relative_spread(T s, T p) const {
    const Rounded<T> d = difference(s, p);
    const T t = d.value / p;
    const T product = t * p;
    const T lost = ((d.value - product) - product_error(t, p, product) + d.lost) / s;
    return corrected(from_excess(s / p, t), absolute(t) < T(0.5) ? lost : T(0));
  }

 private:
  // (s^2 - 1)/2 - log s = t^2/2 + (t - log(1 + t)) with t = s - 1
  VK_FN static Spread<T> from_excess(T s, T t) {
    return {s, fma(T(0.5) * t, t, log_gap(s, t)), T(0.5) * t * (s + T(1))};
  }
};

VK_END
