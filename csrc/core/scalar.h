// Elementary functions, branch-free so that compilers vectorise the loops around them.
//
// float: own polynomials (minimax fits; worst error over the whole range about 1 ulp for exp,
// 2 ulp for log1p and phi, subnormals, infinities and NaN included). double: the C library.
#pragma once

#include "arithmetic.h"

VK_BEGIN

// --- exp ------------------------------------------------------------------------------------

constexpr float kLn2High = 0.693359375f;  // 9 bits: k * kLn2High is exact
constexpr float kLn2Low = -2.12194440e-4f;

// x = k ln 2 + r + lost with |r| <= ln(2) / 2 and `lost` what rounding r lost. `scaled` holds
// k + bias in the low bits of a float: shifted left by 23 it is an exponent.
struct ReducedExp {
  float k, scaled, r, lost;
};

constexpr float kRoundToInteger = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer

VK_FN ReducedExp reduce_exp(float x, float exponent_bias) {
  const float bias = kRoundToInteger + exponent_bias;
  const float shifted = fma(x, 1.44269504088896341f, bias);
  const float k = shifted - bias;
  const float exact = fma(k, -kLn2High, x);
  const float r = fma(k, -kLn2Low, exact);
  return {k, shifted, r, fma(k, -kLn2Low, exact - r)};
}

VK_FN float times_power_of_two(float x, float scaled) {
  return bit_cast<float>(bit_cast<uint32_t>(x) + (bit_cast<uint32_t>(scaled) << 23));
}

// e^r
VK_FN float short_exp(float r) {
  const float tail = polynomial(r, 1.0f, 0.499999933909f, 0.166665197133f, 0.0416683983914f,
                                0.00836883035333f, 0.00138143848759f);
  return fma(tail, r, 1.0f);
}

// (e^r - 1 - r) / r^2, to the last digit at r = 0 too
VK_FN float exp_curvature(float r) {
  return polynomial(r, 0.500000001353f, 0.166666665309f, 0.0416664640698f, 0.00833336091532f,
                    0.00139337594559f, 0.000198578582005f);
}

// Twice that, from twice the coefficients.
VK_FN float twice_exp_curvature(float r) {
  return polynomial(r, 1.000000002706f, 0.333333330618f, 0.0833329281396f, 0.01666672183064f,
                    0.00278675189118f, 0.000397157164004f);
}

// Below -105 e^x rounds to 0, above 89 it overflows. 2^k alone would leave the range of float near
// both ends, so the exponent is moved by 64 and the product moves it back, rounding correctly.
VK_FN float limited_for_exp(float x) { return with_sign_of(x, at_most(105.0f, absolute(x))); }
VK_FN ReducedExp reduce_exp_anywhere(float x) {
  return reduce_exp(limited_for_exp(x), by_sign(x, -64.0f, 64.0f));
}

// 2^-64 for negative x, 2^64 for positive
VK_FN float undo_bias(float x) { return by_sign(x, 0x1p64f, 0x1p-64f); }

// mantissa 2^k, of an x that was reduced with a bias of 2 x 127: `scaled` less the exponent of the
// factor that will undo it, 127 +- 64, is that of 2^(k -+ 64). Multiplied, for a mantissa of NaN.
constexpr float kTwiceBiasOfExponents = 254.0f;
VK_FN float exp_of_reduced(float mantissa, float scaled, float x) {
  const float undo = undo_bias(x);
  const uint32_t bits = (bit_cast<uint32_t>(scaled) << 23) - bit_cast<uint32_t>(undo);
  return mantissa * bit_cast<float>(bits) * undo;
}

VK_FN float exp(float x) {
  const ReducedExp e = reduce_exp_anywhere(x);
  return times_power_of_two(short_exp(e.r), e.scaled) * undo_bias(x);
}
VK_FN double exp(double x) { return std::exp(x); }

// e^x within 0.6 ulp, for where it is squared, and what is missing: what rounding r and 1 + r loses
// is added back.
VK_FN Rounded<float> rounded_exp(float x) {
  const ReducedExp e = reduce_exp_anywhere(x);
  const float undo = undo_bias(x);
  const float high = 1.0f + e.r;
  const float tail = fma(e.r * e.r, exp_curvature(e.r), e.r - (high - 1.0f) + e.lost);
  const float sum = high + tail;
  const float lost = (tail - (sum - high)) * (times_power_of_two(1.0f, e.scaled) * undo);
  return {times_power_of_two(sum, e.scaled) * undo, finite_or_zero(lost)};
}
VK_FN Rounded<double> rounded_exp(double x) { return {std::exp(x), 0.0}; }

template <class T>
VK_FN T precise_exp(T x) {
  return rounded_exp(x).value;
}

// The same bits for x <= 0: the exponent is moved one way.
VK_FN float precise_exp_of_negative(float x) {
  const ReducedExp e = reduce_exp(at_least(-105.0f, x), 64.0f);
  const float high = 1.0f + e.r;
  const float tail = fma(e.r * e.r, exp_curvature(e.r), e.r - (high - 1.0f) + e.lost);
  return times_power_of_two(high + tail, e.scaled) * 0x1p-64f;
}
VK_FN double precise_exp_of_negative(double x) { return std::exp(x); }

// e^-x for x >= 0
VK_FN float exp_of_minus(float x) {
  const ReducedExp e = reduce_exp(-at_most(105.0f, x), 64.0f);
  return times_power_of_two(short_exp(e.r), e.scaled) * 0x1p-64f;
}
VK_FN double exp_of_minus(double x) { return std::exp(-x); }

// --- e^x together with phi(x) = e^x - 1 - x -----------------------------------------------------

// phi is what the Gaussian KL is made of. It is quadratic at 0, where e^x - 1 - x and even
// expm1(x) - x lose every digit; here no step cancels. For -4 < x < 4, garbage elsewhere.
template <class T>
struct ExpPhi {
  T exp, phi;
};

// phi = 2^k (e^r - 1 - r) + (2^k - 1) r + (2^k - 1 - k ln 2), the last term split so that the
// differences are exact.
VK_FN ExpPhi<float> exp_and_phi_of_reduced(ReducedExp e, float undo) {
  const float curvature = exp_curvature(e.r);
  const float short_exp = fma(fma(curvature, e.r, 1.0f), e.r, 1.0f);
  const float power = times_power_of_two(1.0f, e.scaled) * undo;
  const float less_one = power - 1.0f;
  const float differences = fma(less_one, e.r, fma(e.k, -kLn2High, less_one));
  const float phi = fma(power * curvature * e.r, e.r, fma(e.k, -kLn2Low, differences));
  return {times_power_of_two(short_exp, e.scaled) * undo, phi};
}
VK_FN ExpPhi<float> exp_and_phi(float x) {
  return exp_and_phi_of_reduced(reduce_exp_anywhere(x), undo_bias(x));
}

VK_FN ExpPhi<double> exp_and_phi(double x) {
  double series = 1.0;  // 1 + x/3 (1 + x/4 (1 + ...))
  for (int n = 18; n >= 3; --n) series = fma(series, x / n, 1.0);
  const double phi = absolute(x) < 0.5 ? 0.5 * x * x * series : std::expm1(x) - x;
  return {std::exp(x), phi};
}

// --- logarithms -----------------------------------------------------------------------------

// log(1 + a) for 0 <= a <= 1
VK_FN float log1p_unit(float a) {
  const float tail = polynomial(a, -0.499996479631f, 0.333213226174f, -0.24857163699f,
                                0.191536551616f, -0.137538029697f, 0.0792045444326f,
                                -0.0300657984647f, 0.00536482602417f);
  return fma(a * a, tail, a);
}
VK_FN double log1p_unit(double a) { return std::log1p(a); }

// f - log(1 + f) for sqrt(1/2) <= 1 + f <= sqrt(2)
VK_FN float minus_log1p_tail(float f) {
  const float tail = polynomial(f, 0.499999976445f, -0.333333253538f, 0.250007787128f,
                                -0.20001636363f, 0.166270929251f, -0.141961430824f,
                                0.131140402791f, -0.127773554715f, 0.0777805630782f);
  return tail * (f * f);
}

// x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2), x positive and normal
struct ReducedLog {
  float k, f;
};

VK_FN ReducedLog reduce_log(float x) {
  const int32_t k = (bit_cast<int32_t>(x) - 0x3F3504F3) >> 23;
  return {static_cast<float>(k), bit_cast<float>(bit_cast<int32_t>(x) - (k << 23)) - 1.0f};
}

// The logarithm's reduction of any positive finite s, subnormals included.
VK_FN ReducedLog reduce_log_anywhere(float s) {
  const bool normal = bit_cast<uint32_t>(s) >= 0x00800000u;
  const ReducedLog reduced = reduce_log(s * (normal ? 1.0f : 0x1p24f));
  return {reduced.k - (normal ? 0.0f : 24.0f), reduced.f};
}

// `finite` for positive finite s, else the limit: `at_zero` for 0, s for inf and NaN, NaN for
// negative s. (Comparisons of bits again.)
VK_FN float log_or_limit(float s, float finite, float at_zero) {
  const uint32_t bits = bit_cast<uint32_t>(s);
  const float not_zero = bits > 0x80000000u ? NAN : s;
  const float limit = (bits << 1) == 0u ? at_zero : not_zero;
  return bits - 1u < 0x7F7FFFFFu ? finite : limit;
}

// 2^-k
VK_FN float power_of_minus(float k) {
  return bit_cast<float>((127 - static_cast<int32_t>(k)) << 23);
}

// The logarithm's reduction of s, given t = s - 1, which the caller may know more exactly than s.
VK_FN ReducedLog reduce_log_near_one(float s, float t) {
  const ReducedLog reduced = reduce_log_anywhere(s);
  const float power = power_of_minus(reduced.k);
  return {reduced.k, absolute(reduced.k) < 1.5f ? fma(power, t, power - 1.0f) : reduced.f};
}

// s - 1 - log(s), given t = s - 1. No cancellation at s = 1. Zero gives inf, negative s NaN.
VK_FN float log_gap(float s, float t) {
  const ReducedLog reduced = reduce_log_near_one(s, t);
  const float exact = fma(reduced.k, -kLn2High, t) - reduced.f;
  const float rest = fma(reduced.k, -kLn2Low, minus_log1p_tail(reduced.f));
  return log_or_limit(s, exact + rest, HUGE_VALF);
}
VK_FN double log_gap(double s, double t) {
  double series = 0.0;  // sum of (-t)^k / (k + 2)
  for (int k = 24; k >= 0; --k) series = fma(series, -t, 1.0 / (k + 2));
  return absolute(t) < 0.2 ? t * t * series : (s < HUGE_VAL ? t - std::log(s) : s);
}

VK_FN float log_of_reduced(ReducedLog reduced) {
  const float small = fma(reduced.k, kLn2Low, -minus_log1p_tail(reduced.f)) + reduced.f;
  return fma(reduced.k, kLn2High, small);
}

VK_FN float log(float s) {
  return log_or_limit(s, log_of_reduced(reduce_log_anywhere(s)), -HUGE_VALF);
}
VK_FN double log(double s) { return std::log(s); }

// log(s) for s >= 1, within 2 ulp, of additions, multiplications and one division, whose results
// are the same everywhere. (That of CUDA starts from an approximate reciprocal.)
VK_FN double log_of_sum(double s) {
  const uint64_t bits = bit_cast<uint64_t>(s);
  const uint64_t k = (bits - 0x3FE6A09E667F3BCDu) >> 52;  // s = 2^k m, sqrt(1/2) <= m < sqrt(2)
  const double m = bit_cast<double>(bits - (k << 52)), exponent = static_cast<double>(k);
  const double q = (m - 1.0) / (m + 1.0), z = q * q;
  // log(m) = 2 q (1 + z / 3 + z^2 / 5 + ...)
  const double series = polynomial(z, 1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13,
                                   1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23, 1.0 / 25);
  constexpr double kHigh = 0x1.62e42fefa38p-1, kLow = 0x1.ef35793c7673p-45;  // ln 2
  const double log = fma(exponent, kHigh, 2.0 * q + fma(exponent, kLow, 2.0 * q * (z * series)));
  return s < HUGE_VAL ? log : s;
}

// log(1 + t) for t >= 0, likewise.
VK_FN double log1p_of_sum(double t) {
  const double s = 1.0 + t;
  return s < HUGE_VAL ? log_of_sum(s) + (t - (s - 1.0)) / s : s;
}

// Of a positive normal number, garbage else.
VK_FN float log_of_normal(float s) { return log_of_reduced(reduce_log(s)); }
VK_FN double log_of_normal(double s) { return std::log(s); }

VK_END
